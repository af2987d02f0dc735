"""``radiodino-train split``: write down which images are for training, validation and test."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime.progress import progress_bar


def split(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Images: folders, files, globs, zip archives, .npz sets, .csv or .parquet manifests, "
            "medmnist:NAME[:SIZE].",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write, ending in .csv.")],
    fractions: Annotated[
        str, typer.Option(help="Shares of training, validation and test images (of BUSI 0.6,0.2,0.2: paper, table 1).")
    ] = "0.7,0.1,0.2",
    seed: Annotated[int, typer.Option(help="Another number gives another split.")] = 0,
    group: Annotated[
        str | None,
        typer.Option(
            help="Regular expression with one group in parentheses, searched in names without the machine's folders "
            "(set.zip/benign/1.png): images for which it finds the same text, as a patient, stay together. By default "
            "each image is on its own.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
) -> None:
    """Write a manifest (path, label, split) of images: the data set's own split (paper, table 1), else a seeded one.

    Images whose data set says no split get one that is stratified by data set and label and the same on every machine.
    Use it as --data MANIFEST --split train.
    """
    from ..data.listing import list_data
    from ..data.split_manifest import write_splits
    from ..data.splits import SPLITS
    from ..features.texts import shares

    with progress_bar("fetching") as progress:
        listing, origin = list_data(inputs, progress).completed(fractions=shares(fractions), seed=seed, group=group)
    for note in listing.remarks:
        typer.echo(f"note     {note}", err=True)
    write_splits(listing, output, overwrite=force)
    counts = Counter(zip(listing.sources(), (image.split for image in listing), strict=True))
    typer.echo(f"wrote    {output}, {len(listing)} images")
    typer.echo(f"split    {origin}")
    for source in dict.fromkeys(source for source, _ in counts):
        numbers = ", ".join(f"{counts[source, name]} {name}" for name in SPLITS)
        typer.echo(f"         {source}: {numbers}")
