"""``radiodino-run classify``: a table of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import open_for_many, run_and_report


def classify(
    inputs: options.Inputs,
    model: options.ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .csv, .json or .parquet.")],
    report: Annotated[
        bool,
        typer.Option("--report", help="Write a DICOM Structured Report of each DICOM file too, in OUTPUT.reports."),
    ] = False,
    backend: options.Backend = "auto",
    compute: options.Compute = None,
    threads: options.Threads = None,
    batch_size: options.BatchSize = 8,
    window: options.WindowOf = None,
    frame: options.FrameOf = None,
    resume: options.Resume = False,
    force: options.Force = False,
    strict: options.Strict = False,
) -> None:
    """Write the class of each image, and the probability of every class, to a table.

    Needs a file that was exported with --task classify. Research use only, not for diagnosis.

    An image that cannot be read does not end the run: it is listed at the end and in OUTPUT.errors.csv, and the exit
    status is 3.
    """
    from ..embed.run import embed_run
    from ..frame import Window
    from ..task_runs.classification_rows import ClassificationRows
    from ..task_runs.classification_table import ClassificationTable
    from ..tasks.heads import classifier_of

    opened = open_for_many(
        model, backend=backend, compute=compute, threads=threads, batch_size=batch_size, assume_variant=None
    )
    reports = output.with_name(f"{output.name}.reports") if report else None
    maker = ClassificationRows(opened.info, reports)
    writer = ClassificationTable(classifier_of(opened.info), reports)
    run_and_report(
        opened,
        "classifying",
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
            maker=maker,
            writer=writer,
        ),
    )
