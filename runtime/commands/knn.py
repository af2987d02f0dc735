"""``radiodino-run knn``: classes by the votes of the nearest indexed cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import open_for_many, run_and_report


def knn(
    inputs: options.Inputs,
    index: Annotated[Path, typer.Option("--index", "-i", help="A file that radiodino-run index wrote.")],
    model: options.ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .csv or .json.")],
    k: Annotated[str, typer.Option("-k", help="Numbers of neighbours, with commas.")] = "1,5,20",
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
    """Classify images by the votes of the most similar cases of an index.

    A case of cosine similarity s has exp(s / 0.07) votes, as in radiodino-train knn and DINO's official evaluation. The
    share of the votes is no probability. Images that are unlike all indexed ones get a warning in the table: their
    class means nothing.
    """
    from ..embed.run import embed_run
    from ..errors import InputError
    from ..frame import Window
    from ..index.case_index import CaseIndex
    from ..index.knn_writer import KnnWriter
    from ..index.notes import other_arithmetic, with_knn_notes

    parts = k.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"-k takes whole numbers with commas, not '{k}': use 1,5,20")
    opened_index = CaseIndex.open(index)
    opened = open_for_many(
        model, backend=backend, compute=compute, threads=threads, batch_size=batch_size, assume_variant=assume_variant
    )
    opened_index.refuse_other_model(opened.info.file_sha256, model)
    writer = KnnWriter(opened_index, [int(part) for part in parts], opened.info.notice)
    if note := other_arithmetic(opened_index, opened.provenance()):
        typer.echo(f"note     {note}", err=True)
    run_and_report(
        opened,
        "embedding",
        lambda progress: with_knn_notes(
            embed_run(
                opened,
                inputs,
                output,
                batch_size=batch_size,
                window=Window(*window) if window else opened_index.window,
                frame=frame,
                resume=resume,
                force=force,
                strict=strict,
                progress=progress,
                writer=writer,
            ),
            writer,
            opened_index,
        ),
    )
