"""``radiodino-run explain``: heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import run_and_report


def explain(
    inputs: options.Inputs,
    model: options.ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for pictures, maps and table.")],
    kind: Annotated[
        str | None, typer.Option(help="cam or attention; by default cam where the file gives it, else attention.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--class", help="The class that a cam speaks for; by default the one that is said.")
    ] = None,
    maps: Annotated[
        str | None,
        typer.Option(help="Write the maps too: png (16 bits, 65535 for 1) or npy (float32); by default none."),
    ] = None,
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
    """Draw where in each image the network finds what it says, as a heat map beside the image.

    Writes OUTPUT/overlays/NAME.png and OUTPUT/explain.csv. A cam lays the classification head over each patch: it shows
    patches that look as the class does, and is no Grad-CAM. Attention is that of the last block, the same whatever
    class is said. A map is scaled to its own image: two of them cannot be compared. Needs a file that was exported with
    --outputs cam or attention. Research use only, not for diagnosis.

    An image that cannot be read does not end the run: it is listed at the end and in OUTPUT/explain.csv.errors.csv, and
    the exit status is 3.
    """
    from ..frame import Window
    from ..model import Model
    from ..task_runs.explanation_rows import ExplanationRows
    from ..task_runs.picture_run import picture_run
    from ..task_runs.picture_table import explanation_table

    opened = Model.load(
        model, backend=backend, compute=compute, threads=threads, batch_size=batch_size, assume_variant=assume_variant
    )
    maker = ExplanationRows(opened.info, output, kind=kind, label=label, maps=maps)
    writer = explanation_table(maker, opened.info.classifier)
    run_and_report(
        opened,
        "explaining",
        lambda progress: picture_run(
            opened,
            inputs,
            output,
            writer,
            batch_size=batch_size,
            window=Window(*window) if window else None,
            frame=frame,
            resume=resume,
            force=force,
            strict=strict,
            progress=progress,
        ),
    )
