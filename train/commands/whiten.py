"""``radiodino-train whiten``: a pretraining run's embeddings, spread evenly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from .options import Accelerator, Cache


def whiten(
    run: Annotated[Path, typer.Argument(help="The folder of a run of radiodino-train pretrain.")],
    data: Annotated[list[str], typer.Option(help="Images, as pretrain takes them; best those of the run.")],
    out: Annotated[Path, typer.Option(help="The folder to write; --weights takes it like the run's.")],
    split: Annotated[str | None, typer.Option(help="Images of this split alone; as in pretrain.")] = None,
    power: Annotated[float, typer.Option(help="0 centres, 1 makes all directions of the embedding vary alike.")] = 0.5,
    samples: Annotated[int, typer.Option(help="Images and crops of them, equally many of each source.")] = 12_000,
    steps: Annotated[int, typer.Option(help="In which the last MLP learns, of 256 images.")] = 3_000,
    image_size: Annotated[int, typer.Option(help="In pixels, a multiple of the patch.")] = 224,
    seed: Annotated[int, typer.Option(help="Of the order, the crops and the learning.")] = 0,
    precision: Annotated[str, typer.Option(help="Of the pass over the images: fp32 or bf16.")] = "fp32",
    accelerator: Accelerator = "auto",
    cache: Cache = None,
) -> None:
    """Copy a run with whitened embeddings: its last MLP learns them, the architecture stays (not in the paper).

    After a short training few directions of the embedding outweigh all others, and nearest neighbours suffer.
    """
    require("train", "torch", "timm", "yaml")
    from radiodino.runtime.progress import progress_bar

    from ..whiten.run import WhitenSettings
    from ..whiten.run import whiten as work

    if precision not in ("fp32", "bf16"):
        raise InputError(f"there is no precision '{precision}': choose fp32 or bf16")
    done = work(
        run,
        data,
        out,
        WhitenSettings(power=power, samples=samples, steps=steps, image_size=image_size, seed=seed),
        split=split,
        accelerator=accelerator,
        bf16=precision == "bf16",
        cache=cache,
        progress=progress_bar,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(f"wrote    {done.checkpoint}; cosine to the whitened embeddings, held-out images: {done.cosine:.4f}")
    typer.echo(f"next     radiodino-train knn --weights {out} --data …")
