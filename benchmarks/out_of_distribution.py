"""How often images are called unlike an index: held-out ones of the same kind, and ones of other kinds.

    python -m radiodino.benchmarks.out_of_distribution --model radiodino-tiny-fp16.onnx --data ../shared/data

Half of the breast ultrasound and of the brain MRI images (drawn with the seed 0) are indexed; the other half are
queries that should pass. Queries that should be flagged: photographs, blank images, noise, stripes, X-rays and CT of
other body parts, and indexed images turned upside down, inverted, or shuffled in blocks. Each is judged by its distance
to the nearest indexed image, and by the mean distance to the 5 nearest, at the 95th and the 99th percentile, so that
the choice of `radiodino.runtime.index.calibration` can be checked.

Blank images are judged by their distance here; ``search`` and ``knn`` tell them by their pixels too.

Three indices are asked: of each modality alone, and of both. BUSI has near-duplicates (several pictures of one lesion),
so the rates of its held-out half are rather better than those of new patients.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_SEED = 0
_HELD_OUT = "same kind, held out"
_INDEXED = {"breast ultrasound": "busi_256.zip", "brain MRI": "brain_mri_224.zip"}
_OTHERS = "mednist_64.zip"
_MADE = 40


@dataclass(frozen=True)
class Rate:
    """How many of some queries are called unlike an index."""

    index: str
    queries: str
    count: int
    median_distance: float
    flagged: dict[str, float]
    """Share, 0..1, by the rule."""


def main(
    model: Annotated[Path, typer.Option("--model", "-m", help="A file that radiodino-export wrote.")],
    data: Annotated[Path, typer.Option(help="Folder with busi_256.zip, brain_mri_224.zip and mednist_64.zip.")],
    images: Annotated[int, typer.Option(help="Of each modality at most, indexed and queries together.")] = 600,
    backend: Annotated[str, typer.Option(help="auto, cuda, openvino or onnxruntime.")] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the rates as JSON.")] = None,
) -> None:
    """Measure the rates of out-of-distribution warnings."""
    from rich.table import Table

    from radiodino.runtime import Model

    from .print_table import print_table

    for name in (*_INDEXED.values(), _OTHERS):
        if not (data / name).is_file():
            raise InputError(f"there is no {data / name}: name the folder with --data")
    if images < 80:
        raise InputError(f"{images} images of each modality are too few for a percentile: take 80 or more")
    opened = Model.load(model, backend=backend)
    rates = measure(opened, data, images)
    rules = list(rates[0].flagged)
    table = Table("index", "queries", "number", "median distance", *rules)
    for rate in rates:
        shares = (f"{100 * rate.flagged[rule]:.1f} %" for rule in rules)
        table.add_row(rate.index, rate.queries, str(rate.count), f"{rate.median_distance:.4f}", *shares)
    print_table(table)
    if opened.info.notice:
        typer.echo(f"WARNING  {opened.info.notice}")
    if output is not None:
        document = {"provenance": opened.provenance(), "rates": [asdict(rate) for rate in rates]}
        output.write_text(json.dumps(document, indent=1), encoding="utf-8")


def measure(model: Any, data: Path, images: int) -> list[Rate]:
    """All rates."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    halves: dict[str, tuple[Any, Any]] = {}
    samples: list[Image.Image] = []
    for kind, name in _INDEXED.items():
        found = list(_members(data / name, images))
        order = random.permutation(len(found))
        middle = len(found) // 2
        embedded = model.embed(found)
        halves[kind] = embedded[order[:middle]], embedded[order[middle:]]
        samples += [found[place] for place in order[: _MADE // 2]]
    unlike = {name: model.embed(made) for name, made in _queries(data, samples, random).items()}
    kinds = list(halves)
    asked = {
        kind: {_HELD_OUT: halves[kind][1], **{other: halves[other][1] for other in kinds if other != kind}, **unlike}
        for kind in kinds
    }
    both = {f"{_HELD_OUT}: {kind}": halves[kind][1] for kind in kinds}
    rates: list[Rate] = []
    for kind in kinds:
        rates += _rates(kind, halves[kind][0], asked[kind])
    rates += _rates("both", np.concatenate([half for half, _ in halves.values()]), {**both, **unlike})
    return rates


def _rates(name: str, gallery: Any, asked: dict[str, Any]) -> Iterator[Rate]:
    import numpy as np

    from radiodino.runtime.index.calibration import calibrate
    from radiodino.runtime.index.nearest import lengths, nearest
    from radiodino.runtime.index.unlikeness import measure as unlikeness

    norms = lengths(gallery, "embeddings")
    rules = {
        f"{k} nearest, {percentile}th": calibrate(
            gallery, norms, np.arange(len(gallery)), percentile=percentile, neighbours=k
        )[0]
        for k in (1, 5)
        for percentile in (95, 99)
    }
    for what, queries in asked.items():
        found = nearest(queries, gallery, norms, 5)
        flagged = {rule: float(unlikeness(found, calibration).beyond.mean()) for rule, calibration in rules.items()}
        yield Rate(name, what, len(queries), float(np.median(1 - found.similarities[:, 0])), flagged)


def _queries(data: Path, samples: list[Image.Image], random: Any) -> dict[str, list[Image.Image]]:
    """Images that are none of the indexed kinds."""
    import numpy as np
    from PIL import Image, ImageOps

    def grey(values: Any) -> Image.Image:
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    x = np.arange(224)
    found = {
        "blank (black to white)": [grey(np.full((224, 224), shade)) for shade in np.linspace(0, 255, 9)],
        "noise": [grey(random.integers(0, 256, (224, 224))) for _ in range(_MADE)],
        "noise, colour": [grey(random.integers(0, 256, (224, 224, 3))) for _ in range(_MADE)],
        "stripes": [
            grey(127 + 127 * np.sin(x[:, None] * np.sin(angle) / 5 + x * np.cos(angle) / 5))
            for angle in np.linspace(0, np.pi, 12)
        ],
        "indexed, upside down": [ImageOps.flip(image) for image in samples],
        "indexed, inverted": [ImageOps.invert(image.convert("L")) for image in samples],
        "indexed, blocks shuffled": [_shuffled(image, random) for image in samples],
    }
    photographs = list(_photographs(random))
    if photographs:
        found["photographs (crops)"] = photographs
    for folder in ("CXR", "Hand", "ChestCT", "AbdomenCT", "HeadCT", "BreastMRI"):
        found[f"MedNIST {folder} (64 px)"] = list(_members(data / _OTHERS, _MADE, folder))
    return found


def _members(archive: Path, count: int, folder: str = "") -> Iterator[Image.Image]:
    """At most `count` images of an archive, taken evenly."""
    from PIL import Image

    with zipfile.ZipFile(archive) as opened:
        names = [name for name in sorted(opened.namelist()) if name.lower().endswith((".jpg", ".jpeg", ".png"))]
        names = [name for name in names if not folder or f"/{folder}/" in f"/{name}"]
        for number in range(min(count, len(names))):
            image = Image.open(BytesIO(opened.read(names[number * len(names) // min(count, len(names))])))
            image.load()
            yield image


def _photographs(random: Any) -> Iterator[Image.Image]:
    """Crops of the photographs that scikit-image (a cat among them), scikit-learn and SciPy bring; said if none is."""
    from PIL import Image

    for module, names, read in _PHOTOGRAPHS:
        try:
            source: Any = import_module(module)
            whole = {name: read(source, name) for name in names}
        except (ImportError, OSError) as error:
            typer.echo(f"left out: the photographs of {module} ({error})", err=True)
            continue
        for values in whole.values():
            image = Image.fromarray(values)
            yield image
            for _ in range(5):
                side = int(min(image.size) * random.uniform(0.4, 0.9))
                left, top = (int(random.integers(0, length - side)) for length in image.size)
                yield image.crop((left, top, left + side, top + side))


_PHOTOGRAPHS: tuple[tuple[str, tuple[str, ...], Callable[[Any, str], Any]], ...] = (
    ("skimage.data", ("cat", "coffee", "astronaut"), lambda source, name: getattr(source, name)()),
    ("sklearn.datasets", ("china.jpg", "flower.jpg"), lambda source, name: source.load_sample_image(name)),
)


def _shuffled(image: Image.Image, random: Any) -> Image.Image:
    """Its sixteen blocks in another order."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image.convert("L").resize((224, 224)))
    blocks = values.reshape(4, 56, 4, 56).transpose(0, 2, 1, 3).reshape(16, 56, 56)
    mixed = blocks[random.permutation(16)].reshape(4, 4, 56, 56).transpose(0, 2, 1, 3)
    return Image.fromarray(np.ascontiguousarray(mixed.reshape(224, 224)))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
