"""Options that the commands of ``radiodino-bench`` have in common, with one help text each.

A default stands where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime.model_info import TASKS
from radiodino.runtime.variants import VARIANTS

from .bench.isa import LIMITS

Variants = Annotated[str, typer.Option("--variant", help=f"Comma-separated, of {', '.join(VARIANTS)}.")]
Tasks = Annotated[str, typer.Option("--task", help=f"Comma-separated, of {', '.join(TASKS)}.")]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        help="As of radiodino-export (repeatable for heads), or random, for heads too. By default the demonstration "
        "weights where there are some of that variant and size, else random ones.",
        show_default=False,
    ),
]
Precisions = Annotated[str, typer.Option(help="Comma-separated, of fp32, fp16, bf16, int8, int8-dynamic.")]
BatchSizes = Annotated[
    str,
    typer.Option("--batch-size", help="Images of one run, comma-separated; by default 1.", show_default=False),
]
ImageSizes = Annotated[
    str,
    typer.Option(
        "--image-size", help="Sides in pixels, comma-separated; by default 224, or the heads' own.", show_default=False
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        help="Labelled images to judge answers on, and to calibrate int8 files on; by default a few made-up ones; "
        "repeatable."
    ),
]
Masks = Annotated[list[str] | None, typer.Option(help="Images with masks, for tasks that segment; repeatable.")]
Images = Annotated[int, typer.Option(help="Of each of them at most.")]
Fractions = Annotated[str, typer.Option(help="Split of --data and --masks as the heads were trained with.")]
SplitSeed = Annotated[int, typer.Option(help="Likewise.")]
Group = Annotated[str | None, typer.Option(help="Likewise.")]
Calibration = Annotated[
    list[str] | None,
    typer.Option(help="Real images for int8 files, ours and peers'; by default those of --data; repeatable."),
]
CalibrationCount = Annotated[int, typer.Option(help="Of them at most.")]
Isa = Annotated[
    str | None,
    typer.Option(
        help=f"Limit all engines alike to an older CPU's instruction sets: {', '.join(LIMITS)}. ONNX Runtime has no "
        "such switch; its rows say so."
    ),
]
Rounds = Annotated[int, typer.Option(help="In each, every engine has its turn.")]
RoundSeconds = Annotated[float, typer.Option(help="Of a turn, at least.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write what was measured as JSON, raw samples too.")
]
Markdown = Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")]
Html = Annotated[Path | None, typer.Option(help="Write tables and plots of what was measured as one page.")]
