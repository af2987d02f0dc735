"""``radiodino-train pretrain``: self-supervised pretraining of a backbone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from .options import Accelerator, Cache, Devices, Nodes, Resume, Show, Variant


def pretrain(
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Images: folders, files, globs, zip archives, .npz sets, .csv or .parquet manifests, "
            "medmnist:NAME[:SIZE]; may be given several times."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Take the images of this split alone: train, val or test, as data set or manifest says."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    variant: Variant = "tiny",
    method: Annotated[str, typer.Option(help="dino or dinov2.")] = "dino",
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Begin with the networks of this run, for a phase at another resolution."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the paper's recipe.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="name=value over both, e.g. teacher.temperature=0.07; repeatable.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images; 200 (paper, section 4).")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step over all processes; 512, 256 or 128 (paper, section 4).")
    ] = None,
    resume: Resume = False,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    cache: Cache = None,
    show: Show = False,
) -> None:
    """Pretrain a backbone with DINO or DINOv2 (paper, section 4); the checkpoint exports with --weights OUT.

    Ctrl-C ends it with a checkpoint, and --resume goes on from there bit for bit.
    """
    require("train", "torch", "timm", "yaml", "lightning_fabric")
    from radiodino.runtime.progress import progress_bar

    from ..pretrain.recipe import as_document, load_recipe, preset, set_entries

    recipe = preset(method, variant)
    if config:
        recipe = load_recipe(config, recipe)
    recipe = set_entries(recipe, setting or [])
    recipe = replace(recipe, epochs=epochs or recipe.epochs, batch_size=batch_size or recipe.batch_size)
    if show:
        typer.echo(json.dumps(as_document(recipe), indent=2))
        return
    if not data or out is None:
        raise InputError("name the images with --data and the run's folder with --out")
    from ..pretrain.loop import pretrain as run

    try:
        with progress_bar("images, then steps") as progress:
            done = run(
                recipe,
                data,
                out,
                resume=resume,
                accelerator=accelerator,
                devices=devices,
                nodes=nodes,
                split=split,
                start=start,
                cache=cache,
                progress=progress,
                decoding=progress,
                tell=lambda note: typer.echo(f"note     {note}", err=True),
            )
    except KeyboardInterrupt as interrupt:
        ending.fail(str(interrupt) or "interrupted", ending.INTERRUPTED)
    typer.echo(f"wrote    {done.checkpoint}, {done.steps} steps, last loss {done.loss:.4f}")
    typer.echo(f"speed    {done.images_per_second:.1f} images/s")
    typer.echo(f"next     radiodino-export --variant {recipe.variant} --fp16 --weights {out}")
