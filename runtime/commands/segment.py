"""``radiodino-run segment``: masks, and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import run_and_report


def segment(
    inputs: options.Inputs,
    model: options.ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for masks, pictures and table.")],
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Write a DICOM Segmentation of each DICOM file too.")
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
    """Write the mask of each image, a picture of it, and a table with its share and area.

    Writes OUTPUT/masks/NAME.png (0 and 255, of the image's own size), OUTPUT/overlays/NAME.png and OUTPUT/segment.csv.
    Areas are in mm² where a DICOM file states the distance of its pixels. Needs a file that was exported with
    --task segment. Research use only, not for diagnosis.

    An image that cannot be read does not end the run: it is listed at the end and in OUTPUT/segment.csv.errors.csv, and
    the exit status is 3.
    """
    from ..frame import Window
    from ..model import Model
    from ..task_runs.picture_run import picture_run
    from ..task_runs.picture_table import segmentation_table
    from ..task_runs.segmentation_rows import SegmentationRows
    from ..tasks.heads import segmenter_of

    opened = Model.load(model, backend=backend, compute=compute, threads=threads, batch_size=batch_size)
    maker = SegmentationRows(opened.info, output, dicom_seg=dicom_seg)
    writer = segmentation_table(maker, segmenter_of(opened.info), opened.info.classifier)
    run_and_report(
        opened,
        "segmenting",
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
