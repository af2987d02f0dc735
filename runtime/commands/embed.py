"""``radiodino-run embed``: a table of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import open_for_many, run_and_report


def embed(
    inputs: options.Inputs,
    model: options.ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .npz, .csv or .parquet.")],
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
    """Write the embedding of each image to a table.

    An image that cannot be read does not end the run: it is listed at the end and in OUTPUT.errors.csv, and the exit
    status is 3.
    """
    from ..embed.run import embed_run
    from ..frame import Window

    opened = open_for_many(
        model, backend=backend, compute=compute, threads=threads, batch_size=batch_size, assume_variant=assume_variant
    )
    run_and_report(
        opened,
        "embedding",
        lambda progress: embed_run(
            opened,
            inputs,
            output,
            batch_size=batch_size,
            window=Window(*window) if window else None,
            frame=frame,
            resume=resume,
            force=force,
            strict=strict,
            progress=progress,
        ),
    )
