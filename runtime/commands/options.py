"""Options that several subcommands have in common, with one help text each; a default stands where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[str],
    typer.Argument(help="Images (DICOM, PNG, JPEG, TIFF, …), folders, quoted globs, zip archives, .npz image sets."),
]
ModelPath = Annotated[Path, typer.Option("--model", "-m", help="A file that radiodino-export wrote.")]
Backend = Annotated[
    str, typer.Option(help="auto, cuda, openvino, onnxruntime or ort-tensorrt; tensorrt for an engine.")
]
Compute = Annotated[str | None, typer.Option(help="fp32, bf16 or fp16; by default it follows the file.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of the inference; by default the cores.")]
BatchSize = Annotated[int, typer.Option(help="Images per inference.")]
WindowOf = Annotated[
    tuple[float, float] | None,
    typer.Option("--window", help="Centre and width for DICOM images, in place of the file's own.", metavar="C W"),
]
FrameOf = Annotated[int | None, typer.Option("--frame", help="Only this frame of files with several, from 1.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output or unfinished run.")]
Strict = Annotated[bool, typer.Option("--strict", help="End at the first image that cannot be read.")]
AssumeVariant = Annotated[str | None, typer.Option(help="For a file without metadata: the variant to take it for.")]
