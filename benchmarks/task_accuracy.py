r"""What exported files answer on real images beside the PyTorch original: classes, masks, and how far apart they are.

    python -m radiodino.benchmarks.task_accuracy --model fp32.onnx --model fp16.onnx --data busi_256.zip \
        --masks busi_seg.zip --group '([a-z]+_[0-9]+)\.(?:jpg|png)$' --further brain_mri_224.zip -o out.json

The original is what the file's metadata names, by its SHA-256, as `radiodino-export verify` finds it: the backbone and
heads in PyTorch, fp32, batch norm and all. Each file runs in every engine and arithmetic of this machine's CPU.

Accuracy, F1 and AUC are those of the test images of --data; Dice and IoU those of the test images of --masks, against
the masks drawn by hand, at the network's size and the file's threshold. Both are the images that `radiodino-train
finetune` and `segment` hold out with the same --fractions, --split-seed and --group, or that a manifest of
`radiodino-train split` calls so, and are measured as those do: the row "recorded" is what they wrote into the heads.
How far a file is from the original is measured on all images, those of --further too, both outputs on each.

All see the same numbers: images resized and normalised by the runtime's `Preprocessor`, which gives the bits of the
model card's torchvision pipeline (`radiodino.benchmarks.parity` compares the two), so that what differs is the network.

Exit status 1 where a file breaks one of `radiodino.benchmarks.task_limits.LIMITS`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.atomic import atomic_path, refuse_existing
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

if TYPE_CHECKING:
    from radiodino.runtime.model_info import ModelInfo
    from radiodino.train.data.splits import SplitSettings

    from .task_samples import Sample


def main(
    model: Annotated[
        list[Path], typer.Option("--model", "-m", help="A file of radiodino-export with heads; repeatable.")
    ],
    data: Annotated[
        list[str] | None, typer.Option(help="Labelled images, as for radiodino-train finetune; repeatable.")
    ] = None,
    masks: Annotated[
        list[str] | None, typer.Option(help="Images with masks, as for radiodino-train segment; repeatable.")
    ] = None,
    further: Annotated[
        list[str] | None,
        typer.Option(help="Other real images of any kind, to compare files and original on; repeatable."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoints of the heads, where the files do not say where they are; repeatable."),
    ] = None,
    fractions: Annotated[str, typer.Option(help="As the heads were trained with.")] = "0.7,0.1,0.2",
    split_seed: Annotated[int, typer.Option(help="Likewise.")] = 0,
    group: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the files' engines; by default the physical cores.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where decoded images are kept; by default RADIODINO_HOME.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all as JSON, the answers to each image too.")
    ] = None,
) -> None:
    """Compare exported files with their PyTorch original on held-out images."""
    require("dev", "torch", "timm", "onnx", "sklearn")
    if output is not None:
        refuse_existing(output, overwrite=True)
    from radiodino.runtime.progress import progress_bar
    from radiodino.train.data.splits import SplitSettings
    from radiodino.train.features.texts import shares

    from .print_table import print_table
    from .task_contestants import common_original, compared, contestants_of, the_original
    from .task_report import document_of, table_of

    split = SplitSettings(shares(fractions), split_seed, group)
    original, infos = common_original(model, tuple(weights) if weights else None)
    info = infos[0]  # of the others too, as to heads and preprocessing
    samples = samples_for(info, data or [], masks or [], further or [], split, cache)
    for sample in samples:
        typer.echo(f"{sample.kind:<9}{sample.origin}")
        for note in sample.notes:
            typer.echo(f"note     {note}")
    contestants = [the_original(original, info)]
    for file, own in zip(model, infos, strict=True):
        contestants += contestants_of(file, own.precision, threads)
    with progress_bar("images") as progress:
        rows = compared(contestants, samples, info, progress)
    print_table(table_of(rows, info))
    if info.notice:
        typer.echo(f"WARNING  {info.notice}")
    if output is not None:
        with atomic_path(output, overwrite=True) as temporary:
            document = document_of(rows, samples, info, split)
            temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        typer.echo(f"wrote    {output}")
    said = [f"{row.contestant} has {' and '.join(row.broken)}" for row in rows if row.broken]
    if said:
        ending.fail("; ".join(said), 1)


def samples_for(
    info: ModelInfo,
    data: Sequence[str],
    masks: Sequence[str],
    further: Sequence[str],
    split: SplitSettings,
    cache: Path | None = None,
) -> list[Sample]:
    """The images that are named, of the size that the file takes.

    Raises:
        InputError: there are none, the file has no head for them, or see `radiodino.benchmarks.task_samples`.
    """
    from radiodino.runtime.progress import progress_bar

    from .task_samples import further_sample, labelled_sample, masked_sample

    if data and info.classifier is None:
        raise InputError(f"--data was given, and the task '{info.task}' of the file has no classes: leave it out")
    if masks and info.segmenter is None:
        raise InputError(f"--masks was given, and the task '{info.task}' of the file has no mask: leave it out")
    if not data and not masks:
        raise InputError(
            "no held-out images were given to measure on: name labelled images with --data, images with masks with "
            "--masks, or both"
        )
    found, size = [], info.image_size
    with progress_bar("decoding") as progress:
        if data and info.classifier is not None:
            found.append(labelled_sample(data, size, info.classifier.classes, split, cache, progress))
        if masks:
            found.append(masked_sample(masks, size, split, cache, progress))
        if further:
            found.append(further_sample(further, size, cache, progress))
    return found


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
