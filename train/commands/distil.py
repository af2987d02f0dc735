"""``radiodino-train distil``: what a pretraining run says at several image sizes, learnt for one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from .options import Accelerator, Cache


def distil(
    run: Annotated[Path, typer.Argument(help="The folder of a run of radiodino-train pretrain.")],
    data: Annotated[list[str], typer.Option(help="Images, as pretrain takes them; best those of the run.")],
    out: Annotated[Path, typer.Option(help="The folder to write; --weights takes it like the run's.")],
    split: Annotated[str | None, typer.Option(help="Images of this split alone; as in pretrain.")] = None,
    sizes: Annotated[
        str, typer.Option(help="Sides of the images that the target is made of, in px; the largest is learnt for.")
    ] = "64,96,224",
    power: Annotated[
        float, typer.Option(help="Of the whitening: 0 centres, 1 makes all directions of the features vary alike.")
    ] = 0.5,
    blocks: Annotated[int, typer.Option(help="How many of the last blocks learn.")] = 2,
    samples: Annotated[int, typer.Option(help="Images and crops of them, equally many of each source.")] = 6_000,
    steps: Annotated[int, typer.Option(help="Of learning, of 64 images.")] = 1_500,
    seed: Annotated[int, typer.Option(help="Of the order, the crops and the learning.")] = 0,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    accelerator: Accelerator = "auto",
    cache: Cache = None,
) -> None:
    """Copy a run whose last blocks learnt to say at one size what it says at several, whitened (not in the paper).

    For short trainings with small crops: their features lose much at the size they are used at, and few directions
    outweigh all others, which nearest neighbours suffer from. Patch tokens of the last blocks change too.
    """
    require("train", "torch", "timm", "yaml")
    from radiodino.runtime.progress import progress_bar

    from ..distil.run import DistilSettings
    from ..distil.run import distil as work

    if precision not in ("fp32", "bf16"):
        raise InputError(f"there is no precision '{precision}': choose fp32 or bf16")
    try:
        chosen = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise InputError(f"--sizes takes numbers of pixels, such as 64,96,224, not '{sizes}'") from None
    done = work(
        run,
        data,
        out,
        DistilSettings(sizes=chosen, power=power, blocks=blocks, samples=samples, steps=steps, seed=seed),
        split=split,
        accelerator=accelerator,
        bf16=precision == "bf16",
        cache=cache,
        progress=progress_bar,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(f"wrote    {done.checkpoint}")
    typer.echo(f"cosine   to the target, held-out samples: {done.before:.3f} before, {done.after:.3f} after")
    typer.echo(f"next     radiodino-train knn --weights {out} --data …")
