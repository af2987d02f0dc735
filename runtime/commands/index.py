"""``radiodino-run index``: an index of cases to search in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import open_for_many, run_and_report


def index(
    inputs: options.Inputs,
    model: options.ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: a name that ends in .index.")],
    thumbnails: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            help="Longest side of the pictures that are kept for contact sheets, 16 to 1024. 0 keeps none, but where "
            "the originals lie; sheets show these while they are unchanged.",
        ),
    ] = 192,
    percentile: Annotated[
        float,
        typer.Option(help="Images further off than this percentile of the indexed ones are called unlike them."),
    ] = 99.0,
    backend: options.Backend = "auto",
    compute: options.Compute = None,
    threads: options.Threads = None,
    batch_size: options.BatchSize = 8,
    window: options.WindowOf = None,
    frame: options.FrameOf = None,
    resume: options.Resume = False,
    force: options.Force = False,
    strict: options.Strict = False,
    assume_variant: options.AssumeVariant = None,
) -> None:
    """Build an index of cases, to be searched with radiodino-run search and knn.

    The index is one file on this machine. It holds of each image its embedding, its name as typed (a path may name a
    patient), its label (the first folder below what was typed), notices of its decoding, and a small picture (writing
    burnt into an image may stay legible). It holds no values of DICOM headers. Keep it as safe as the images.
    """
    from ..embed.run import embed_run
    from ..frame import Window
    from ..index.notes import with_index_notes
    from ..index.writer import IndexWriter

    grey = Window(*window) if window else None
    IndexWriter(longest_side=thumbnails, percentile=percentile)  # refuse them before the model is opened
    opened = open_for_many(
        model, backend=backend, compute=compute, threads=threads, batch_size=batch_size, assume_variant=assume_variant
    )
    run_and_report(
        opened,
        "indexing",
        lambda progress: with_index_notes(
            embed_run(
                opened,
                inputs,
                output,
                batch_size=batch_size,
                window=grey,
                frame=frame,
                resume=resume,
                force=force,
                strict=strict,
                progress=progress,
                writer=IndexWriter(grey, frame, thumbnails, percentile, progress),
            )
        ),
    )
