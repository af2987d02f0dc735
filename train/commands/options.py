"""Options that several subcommands have in common, with one help text each; a default stands where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime.variants import VARIANTS

Variant = Annotated[str, typer.Option(help=f"One of {', '.join(VARIANTS)} (paper, table 2).")]
Variants = Annotated[
    list[str] | None,
    typer.Option(help=f"Of backbones: {', '.join(VARIANTS)}; once, or once for each --weights. Default: tiny."),
]
BackboneWeights = Annotated[
    str, typer.Option(help="Of the backbone: published, demo, random, or a checkpoint's file or folder.")
]
CheckpointKey = Annotated[
    str | None, typer.Option(help="teacher or student of a training checkpoint; by default the teacher.")
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="timm: and preset: with timm's weights (fetched); else random ones.")
]

Fractions = Annotated[
    str, typer.Option(help="Shares of train,val,test where the data set has no split (paper, table 1).")
]
Group = Annotated[
    str | None, typer.Option(help="Regular expression with one group: images with equal text stay in one split.")
]
Cache = Annotated[Path | None, typer.Option(help="Where decoded images are kept; by default RADIODINO_HOME.")]

Accelerator = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Devices = Annotated[int, typer.Option(help="Processes on this machine; torchrun and SLURM overrule it.")]
Nodes = Annotated[int, typer.Option(help="Machines.")]
Precision = Annotated[
    str | None, typer.Option(help="fp32 or bf16; by default fp32, and what an exported file says of itself.")
]
PassSize = Annotated[int | None, typer.Option(help="Images per pass; by default 32, on a GPU 256.")]

Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, exactly.")]
Show = Annotated[bool, typer.Option("--show", help="Print the resolved recipe and end.")]
