"""What segmentation costs: the paper's head and the lite one, in PyTorch and as exported files in the CPU engines.

    python -m radiodino.benchmarks.segment_heads --image-size 448 --rounds 5
    python -m radiodino.benchmarks.segment_heads --weights segmenter-paper.pth --weights segmenter-lite.pth --data busi/

Latency is that of one image through backbone and head; peak memory that of the whole process, interpreter and libraries
included. Each measurement is a process of its own, in interleaved rounds with a fixed number of threads; printed are
medians, all of this run. With --data the Dice of the masks is that of the test images as `radiodino-train segment`
splits them.

The head is not run in tiles. Of the peak memory at 448 px the paper's head takes some 200 MiB in ONNX Runtime and 80 in
OpenVINO (64 channels are 49 MiB in fp32), at 224 px some 55 and 20. Its 18 convolutions look 18 pixels far, so that
exact tiles of 224 px would be computed at 260 px: a third more multiply-adds of the slowest part, to save less than
150 MiB where a workstation has gigabytes. Memory grows with the batch, and that is the caller's choice.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import Variant, get_variant

from .segment_process import TORCH

if TYPE_CHECKING:
    from radiodino.train.segment.pairs import SplitPairs

ENGINES = (TORCH, "onnxruntime", "openvino")


@dataclass(frozen=True)
class Contestant:
    """One head in one engine."""

    head: str
    engine: str
    file: Path
    """A checkpoint for PyTorch, an exported file for the others."""
    checkpoint: Path
    image_size: int


@dataclass(frozen=True)
class Row:
    """What came of a contestant."""

    head: str
    engine: str
    compute: str
    milliseconds: float
    """Median of all runs of all rounds."""
    peak_mib: float | None
    """Median of the rounds."""
    head_gmacs: float
    backbone_gmacs: float
    dice: float | None
    """Mean over the test images with a lesion, 0..1; None where there are no images."""
    dice_all: float | None
    """Mean over all test images."""


def main(
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="A segmenter-*.pth; repeatable. By default the paper's and the lite head, random."),
    ] = None,
    variant: Annotated[str, typer.Option(help="Of random heads.")] = "tiny",
    image_size: Annotated[int, typer.Option(help="Of random heads: side in pixels, a multiple of the patch.")] = 448,
    fp16: Annotated[bool, typer.Option("--fp16/--fp32", help="Precision of the exported files.")] = True,
    rounds: Annotated[int, typer.Option(min=1, help="Processes of each kind.")] = 5,
    runs: Annotated[int, typer.Option(min=1, help="Images in a process, after one to warm up.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each engine.")] = 2,
    data: Annotated[list[str] | None, typer.Option(help="Images with masks, for the Dice; repeatable.")] = None,
    fractions: Annotated[str, typer.Option(help="As of radiodino-train segment.")] = "0.7,0.1,0.2",
    split_seed: Annotated[int, typer.Option(help="Likewise.")] = 0,
    group: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the rows as JSON.")] = None,
) -> None:
    """Measure latency, peak memory, multiply-adds and Dice of segmentation, beside the PyTorch original."""
    require("dev", "torch", "timm", "onnx", "onnxscript", "openvino", "onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = weights or random_segmenters(get_variant(variant), image_size, Path(folder))
        contestants = [one for file in checkpoints for one in contestants_of(file, Path(folder), fp16=fp16)]
        samples = measured(contestants, rounds=rounds, runs=runs, threads=threads)
        splits: dict[int, SplitPairs] = {}
        if data:
            splits = {
                size: _split(data, size, fractions, split_seed, group) for size in {c.image_size for c in contestants}
            }
        rows = [row_of(one, samples[one], splits.get(one.image_size), threads) for one in contestants]
    _print(rows)
    if output:
        output.write_text(json.dumps([asdict(row) for row in rows], indent=2))


def random_segmenters(variant: Variant, image_size: int, folder: Path) -> list[Path]:
    """Checkpoints of the heads there are, with random weights on a random backbone.

    Raises:
        InputError: where the variant cannot have that size, or a head is not made for its patch.
    """
    from radiodino.runtime.model_info import Preprocessing
    from radiodino.train.segment.heads import HEADS, build_head
    from radiodino.train.segment.segmenter import SCHEMA, TASK, Segmenter, save_segmenter
    from radiodino.train.weights.load import load_weights

    backbone, source = load_weights(variant, "random", image_size=image_size)
    card = asdict(Preprocessing(resize=(image_size, image_size)))
    paths = []
    for kind in HEADS:
        head = build_head(kind, variant.embedding_size, variant.patch)
        document = {
            "task": TASK,
            "schema": SCHEMA,
            "variant": variant.name,
            "patch": variant.patch,
            "head": {"kind": kind, **head.settings},
            "image_size": image_size,
            "preprocessing": {name: list(value) if isinstance(value, tuple) else value for name, value in card.items()},
            "classes": ["lesion"],
            "threshold": 0.5,
            "training_set": {"name": "none: random weights"},
            "weights": asdict(source),
        }
        paths.append(folder / f"segmenter-{kind}.pth")
        save_segmenter(paths[-1], Segmenter(backbone, head), document)
    return paths


def contestants_of(checkpoint: Path, folder: Path, *, fp16: bool) -> list[Contestant]:
    """A segmenter in each of `ENGINES`, exported into `folder`, which verifies it.

    Raises:
        WeightsError: where `checkpoint` is no segmenter.
        VerificationError: where the exported file differs from it.
    """
    from radiodino.export.pipeline import export_model
    from radiodino.export.settings import ExportSettings
    from radiodino.train.segment.segmenter import load_segmenter

    _, document = load_segmenter(checkpoint)
    head, size = document["head"]["kind"], document["image_size"]
    target = folder / f"{len(list(folder.glob('*.onnx')))}-{head}.onnx"
    settings = ExportSettings(
        get_variant(document["variant"]),
        str(checkpoint),
        task="segment",
        precision="fp16" if fp16 else "fp32",
        output=target,
    )
    exported = export_model(settings).path
    return [
        Contestant(head, engine, checkpoint if engine == TORCH else exported, checkpoint, size) for engine in ENGINES
    ]


def measured(
    contestants: list[Contestant], *, rounds: int, runs: int, threads: int
) -> dict[Contestant, list[dict[str, Any]]]:
    """What `radiodino.benchmarks.segment_process` prints for each contestant, in interleaved rounds."""
    samples: dict[Contestant, list[dict[str, Any]]] = {one: [] for one in contestants}
    for _ in range(rounds):
        for one in contestants:
            samples[one].append(_measure(one, runs, threads))
    return samples


def _measure(one: Contestant, runs: int, threads: int) -> dict[str, Any]:
    arguments = [one.engine, str(one.file), str(one.image_size), str(threads), str(runs)]
    finished = subprocess.run(
        [sys.executable, "-m", "radiodino.benchmarks.segment_process", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["without a message"])[-1]
        raise InputError(f"the {one.head} head in {one.engine} could not be measured: {last}")
    sample: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return sample


def row_of(one: Contestant, samples: list[dict[str, Any]], split: SplitPairs | None, threads: int) -> Row:
    """The medians of a contestant, and its Dice on the test images of `split`."""
    from radiodino.train.segment.macs import backbone_macs
    from radiodino.train.segment.segmenter import load_segmenter

    segmenter, document = load_segmenter(one.checkpoint)
    peaks = [sample["peak_mib"] for sample in samples if sample["peak_mib"] is not None]
    lesions = everything = None
    if split is not None:
        lesions, everything = _dice(one, split, document["threshold"], threads)
    return Row(
        head=one.head,
        engine=one.engine,
        compute=samples[0]["compute"],
        milliseconds=1000 * statistics.median(value for sample in samples for value in sample["seconds"]),
        peak_mib=statistics.median(peaks) if peaks else None,
        head_gmacs=segmenter.head.macs(one.image_size) / 1e9,
        backbone_gmacs=backbone_macs(get_variant(document["variant"]), one.image_size) / 1e9,
        dice=lesions,
        dice_all=everything,
    )


def _split(data: list[str], size: int, fractions: str, seed: int, group: str | None) -> SplitPairs:
    from radiodino.train.data.mask_pairs import open_pairs
    from radiodino.train.features.texts import shares
    from radiodino.train.segment.pairs import split_pairs

    return split_pairs(open_pairs(data, size), fractions=shares(fractions), seed=seed, group=group)


def _dice(one: Contestant, split: SplitPairs, threshold: float, threads: int) -> tuple[float, float]:
    import numpy as np
    import torch

    from radiodino.runtime import Model
    from radiodino.train.data.normalise import normalise
    from radiodino.train.segment.metrics import overlap
    from radiodino.train.segment.segmenter import load_segmenter

    torch.set_num_threads(threads)
    places = split.places["test"]
    segmenter = load_segmenter(one.file)[0] if one.engine == TORCH else None
    model = None if one.engine == TORCH else Model.load(one.file, backend=one.engine, threads=threads, cache=False)
    dice = []
    for place in places:
        image = normalise(torch.from_numpy(np.array(split.pairs.pixels[place : place + 1])))
        with torch.inference_mode():
            found = segmenter(image).sigmoid() if segmenter else torch.from_numpy(model.run(image.numpy())["mask"])  # type: ignore[union-attr]
        truth = torch.from_numpy(np.array(split.pairs.masks[place : place + 1])).bool()
        dice.append(float(overlap(found >= threshold, truth)[0][0]))
    scores, lesions = np.array(dice), split.lesions[places]
    return float(scores[lesions].mean()), float(scores.mean())


def _print(rows: list[Row]) -> None:
    from rich.table import Table

    from .print_table import print_table

    table = Table(
        "head", "engine", "computes in", "latency (ms)", "× less time", "peak memory (MiB)", "× less memory",
        "GMACs, head", "backbone", "Dice, lesions", "all",
    )  # fmt: skip
    originals = {row.head: row for row in rows if row.engine == TORCH}
    for row in rows:
        original = originals[row.head]
        less = "" if row.peak_mib is None or original.peak_mib is None else f"{original.peak_mib / row.peak_mib:.1f}"
        table.add_row(
            row.head,
            row.engine,
            row.compute,
            f"{row.milliseconds:.0f}",
            f"{original.milliseconds / row.milliseconds:.1f}",
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
            less,
            f"{row.head_gmacs:.2f}",
            f"{row.backbone_gmacs:.2f}",
            *("" if value is None else f"{value:.4f}" for value in (row.dice, row.dice_all)),
        )
    print_table(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
