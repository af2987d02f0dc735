"""The table of a run that classifies: ``.csv``, ``.json`` or ``.parquet``.

Columns: ``filename`` (with ``#FRAME`` where a file has several), ``label`` (the input's folder, as for embeddings),
``frame``, ``class``, then ``probability_NAME`` and ``logit_NAME`` for every class. The JSON file holds ``provenance``
and ``images``, a list of objects with ``probabilities`` and ``logits`` by class; the others keep the provenance where
a table of embeddings does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..embed.results import CHUNK_ROWS, Results
from ..embed.table_csv import write_texts
from ..embed.table_parquet import require_pyarrow
from ..embed.tables import info_path, refuse_output, write_info, write_with_texts
from ..inputs.listing import Listing
from ..model_info import ClassifierInfo
from ..tasks.classification import decide
from .result_folders import refuse_filled


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    name: str
    label: str
    frame: int | None
    said: str
    """The class."""
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class ClassificationTable:
    """Writes the table of a run whose rows are `ClassificationRows`; see `radiodino.runtime.embed.writer.Writer`."""

    head: ClassifierInfo
    reports: Path | None = None
    """The folder of the reports, where there are any."""

    def refuse(self, output: Path, *, force: bool, resume: bool) -> None:
        """See `Writer`."""
        refuse_output(output, force=force, resume=resume, suffixes=tuple(_WRITERS))
        if self.reports is not None:
            refuse_filled(self.reports, output, output, force=force, resume=resume)

    def write(self, output: Path, results: Results, listing: Listing, *, force: bool) -> list[Path]:  # noqa: ARG002
        """See `Writer`."""
        suffix = output.suffix.lower()
        info = {info_path(output): partial(write_info, results=results) if suffix == ".csv" else None}
        lines = partial(_lines, results, self.head)
        write = partial(_WRITERS[suffix], results=results, lines=lines, classes=self.head.classes)
        files = write_with_texts(output, results, write, force=force, also=info)
        return [*files, self.reports] if self.reports is not None else files


def _lines(results: Results, head: ClassifierInfo) -> Iterator[Line]:
    count = len(head.classes)
    frames = results.frames()
    for names, labels, rows in results.chunks():
        for name, label, row in zip(names, labels, rows, strict=True):
            probabilities = row[count:]
            said = head.classes[decide(probabilities, head)[0]]
            yield Line(name, label, next(frames), said, probabilities, row[:count])


def _columns(classes: tuple[str, ...]) -> list[str]:
    return [f"{kind}_{name}" for kind in ("probability", "logit") for name in classes]


def _write_csv(path: Path, results: Results, lines: Callable[[], Iterator[Line]], classes: tuple[str, ...]) -> None:  # noqa: ARG001
    rows = (
        (
            line.name,
            line.label,
            "" if line.frame is None else str(line.frame),
            line.said,
            *map(str, line.probabilities),
            *map(str, line.logits),
        )
        for line in lines()
    )
    write_texts(path, ("filename", "label", "frame", "class", *_columns(classes)), rows)


def _write_json(path: Path, results: Results, lines: Callable[[], Iterator[Line]], classes: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f'{{"provenance": {results.provenance_json()},\n"images": [')
        for number, line in enumerate(lines()):
            shown = {
                "filename": line.name,
                "label": line.label,
                "frame": line.frame,
                "class": line.said,
                "probabilities": dict(zip(classes, map(_decimal, line.probabilities), strict=True)),
                "logits": dict(zip(classes, map(_decimal, line.logits), strict=True)),
            }
            file.write(("," if number else "") + "\n" + json.dumps(shown, ensure_ascii=False))
        file.write("\n]}\n")


def _decimal(value: np.float32) -> float:
    """The shortest decimal that gives the same float32 again."""
    return float(str(value))


def _write_parquet(path: Path, results: Results, lines: Callable[[], Iterator[Line]], classes: tuple[str, ...]) -> None:
    pa, pq = require_pyarrow()
    kinds = [("filename", pa.string()), ("label", pa.string()), ("frame", pa.int32()), ("class", pa.string())]
    fields = [*kinds, *((name, pa.float32()) for name in _columns(classes))]
    schema = pa.schema(fields, metadata={"radiodino": results.provenance_json()})
    every = lines()
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while chunk := list(islice(every, CHUNK_ROWS)):
            texts = [[line.name, line.label, line.frame, line.said] for line in chunk]
            columns = [
                pa.array(column, kind) for column, (_, kind) in zip(zip(*texts, strict=True), kinds, strict=True)
            ]
            numbers = np.array([[*line.probabilities, *line.logits] for line in chunk], np.float32)
            columns += [pa.array(np.ascontiguousarray(column)) for column in numbers.T]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


_WRITERS: dict[str, Callable[..., None]] = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}
