"""Search of the nearest neighbours: exact by NumPy, as the index does it, beside usearch and faiss.

    OMP_NUM_THREADS=1 python -m radiodino.benchmarks.nearest_neighbours --sizes 10000,100000 --dimension 192

Seeded embeddings with the structure of real ones (clusters of different sizes, none of length 1) are searched for the
20 nearest of one query at a time, on one thread, in interleaved rounds of one run; a round asks each contestant the
same queries. Times are the processor's, as this process uses it on its one thread, so that other work on the machine
counts for little; they are medians over rounds of the mean per query. Recall is the share of the exact 20 nearest, by a
float64 reference, that were found; order and ties do not count. Contestants that are not installed are left out and
said: ``pip install usearch faiss-cpu``.

Growth of memory is that of the process while a contestant builds what it searches; NumPy maps its file, so what it
grows by is shared with the system's file cache.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time
from typing import Annotated, Any

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError

K = 20
_SEED = 0


@dataclass(frozen=True)
class Row:
    """What one contestant did at one size."""

    contestant: str
    size: int
    build_s: float
    query_ms: float
    recall: float
    grown_mb: float


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of indexed images, with commas.")] = "10000,100000",
    dimension: Annotated[int, typer.Option(help="Of an embedding: 192, 384 or 768.")] = 192,
    rounds: Annotated[int, typer.Option(help="How many, beside one that warms up.")] = 5,
    queries: Annotated[int, typer.Option(help="In each round.")] = 20,
    graph_limit: Annotated[int, typer.Option(help="The most images that graphs (HNSW) are built of.")] = 100_000,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the rows as JSON.")] = None,
) -> None:
    """Measure processor time of queries and builds, memory and recall of nearest neighbours."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise InputError("set OMP_NUM_THREADS=1 in the environment: one thread is measured, and NumPy reads it early")
    from rich.table import Table

    from .print_table import print_table

    if not sizes.replace(",", "").isdigit() or min(rounds, queries, dimension) < 1:
        raise InputError("sizes are whole numbers with commas, and rounds, queries and dimension at least 1")
    for module, package in (("usearch", "usearch"), ("faiss", "faiss-cpu")):
        if find_spec(module) is None:
            typer.echo(f"left out: {package} is not installed")
    rows: list[Row] = []
    table = Table("images", "contestant", "build s", "ms per query", "× exact NumPy", f"recall@{K}", "grown MB")
    for size in map(int, sizes.split(",")):
        found = measure(size, dimension, rounds, queries, with_graphs=size <= graph_limit)
        first = found[0].query_ms
        for row in found:
            table.add_row(
                f"{size:,}",
                row.contestant,
                f"{row.build_s:.2f}",
                f"{row.query_ms:.2f}",
                f"{row.query_ms / first:.2f}",
                f"{row.recall:.3f}",
                f"{row.grown_mb:.0f}",
            )
        rows += found
    print_table(table)
    if output is not None:
        output.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


def measure(size: int, dimension: int, rounds: int, queries: int, *, with_graphs: bool) -> list[Row]:
    """All contestants at one size, the exact search of the index first."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.f32"
        centres = random.standard_normal((64, dimension)).astype(np.float32)
        with path.open("wb") as file:
            for start in range(0, size, 65536):
                count = min(65536, size - start)
                file.write(_near(random, centres, count).tobytes())
        gallery = np.memmap(path, np.float32, "r", shape=(size, dimension))
        asked = _near(random, centres, queries)
        truth = _truth(asked, gallery)
        contestants: dict[str, Callable[[Any], Any]] = {}
        built: dict[str, tuple[float, float]] = {}
        for name, build in _contestants(with_graphs).items():
            before, started = _resident_mb(), process_time()
            contestants[name] = build(gallery, Path(folder))
            built[name] = process_time() - started, _resident_mb() - before
        times: dict[str, list[float]] = {name: [] for name in contestants}
        recall: dict[str, float] = {}
        for number in range(rounds + 1):
            for name, ask in contestants.items():
                started = process_time()
                answers = [ask(asked[row : row + 1]) for row in range(queries)]
                if number:
                    times[name].append((process_time() - started) / queries * 1e3)
                hits = [len(set(map(int, a)) & t) for a, t in zip(answers, truth, strict=True)]
                recall[name] = sum(hits) / (K * queries)
        del gallery
    return [Row(name, size, built[name][0], median(times[name]), recall[name], built[name][1]) for name in contestants]


def _near(random: Any, centres: Any, count: int) -> Any:
    import numpy as np

    own = (random.random(count) ** 2 * len(centres)).astype(int)
    length = np.exp(random.normal(0, 0.1, (count, 1)))
    values = (centres[own] + random.standard_normal((count, centres.shape[1])) * 0.7) * length
    return values.astype(np.float32)


def _truth(asked: Any, gallery: Any) -> list[set[int]]:
    import numpy as np

    values = np.empty((len(asked), len(gallery)))
    own = asked / np.linalg.norm(asked.astype(np.float64), axis=1, keepdims=True)
    for start in range(0, len(gallery), 8192):
        part = gallery[start : start + 8192].astype(np.float64)
        values[:, start : start + 8192] = own @ (part / np.linalg.norm(part, axis=1, keepdims=True)).T
    return [set(map(int, np.argpartition(-row, K)[:K])) for row in values]


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _contestants(with_graphs: bool) -> dict[str, Callable[[Any, Path], Callable[[Any], Any]]]:
    graphs = {"usearch HNSW float32", "usearch HNSW float16", "faiss HNSW32"}
    found = {"exact NumPy (the index)": _index, "NumPy, stored as float16": _half}
    if find_spec("usearch"):
        found |= {
            "usearch exact": _usearch_exact,
            "usearch HNSW float32": lambda gallery, folder: _usearch_graph(gallery, folder, "f32"),
            "usearch HNSW float16": lambda gallery, folder: _usearch_graph(gallery, folder, "f16"),
        }
    if find_spec("faiss"):
        found |= {"faiss flat": _faiss_flat, "faiss HNSW32": _faiss_graph}
    return {name: build for name, build in found.items() if with_graphs or name not in graphs}


def _index(gallery: Any, _folder: Path) -> Callable[[Any], Any]:
    from radiodino.runtime.index.nearest import lengths, nearest

    norms = lengths(gallery, "embeddings")
    return lambda asked: nearest(asked, gallery, norms, K).indices[0]


def _half(gallery: Any, folder: Path) -> Callable[[Any], Any]:
    """A plain product; rows are stored as float16 and widened in pieces."""
    import numpy as np

    path = folder / "embeddings.f16"
    with path.open("wb") as file:
        for start in range(0, len(gallery), 8192):
            file.write(_unit(gallery[start : start + 8192]).astype(np.float16).tobytes())
    stored = np.memmap(path, np.float16, "r", shape=gallery.shape)

    def ask(asked: Any) -> Any:
        own = _unit(asked)[0]
        values = np.concatenate(
            [stored[start : start + 8192].astype(np.float32) @ own for start in range(0, len(stored), 8192)]
        )
        return np.argpartition(-values, K)[:K]

    return ask


def _usearch_exact(gallery: Any, _folder: Path) -> Callable[[Any], Any]:
    import numpy as np

    usearch, held = import_module("usearch.index"), np.array(gallery)
    return lambda asked: usearch.search(held, asked[0], K, usearch.MetricKind.Cos, exact=True, threads=1).keys


def _usearch_graph(gallery: Any, _folder: Path, dtype: str) -> Callable[[Any], Any]:
    import numpy as np

    index = import_module("usearch.index").Index(ndim=gallery.shape[1], metric="cos", dtype=dtype)
    index.add(np.arange(len(gallery)), np.asarray(gallery), threads=1)
    return lambda asked: index.search(asked[0], K, threads=1).keys


def _faiss_flat(gallery: Any, _folder: Path) -> Callable[[Any], Any]:
    faiss: Any = import_module("faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(gallery.shape[1])
    for start in range(0, len(gallery), 8192):
        index.add(_unit(gallery[start : start + 8192]))
    return lambda asked: index.search(_unit(asked), K)[1][0]


def _faiss_graph(gallery: Any, _folder: Path) -> Callable[[Any], Any]:
    faiss: Any = import_module("faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(gallery.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 64
    index.add(_unit(gallery))
    return lambda asked: index.search(_unit(asked), K)[1][0]


def _unit(values: Any) -> Any:
    import numpy as np

    return np.asarray(values) / np.linalg.norm(values, axis=1, keepdims=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
