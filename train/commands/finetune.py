"""``radiodino-train finetune``: a classifier on labelled images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from .options import (
    Accelerator,
    BackboneWeights,
    Cache,
    CheckpointKey,
    Devices,
    Fractions,
    Nodes,
    Resume,
    Show,
    Variant,
)


def finetune(
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled images: folders or zip archives with a folder per class, manifests, .npz sets; "
            "may be given several times."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    variant: Variant = "tiny",
    weights: BackboneWeights = "published",
    checkpoint_key: CheckpointKey = None,
    freeze_backbone: Annotated[
        bool,
        typer.Option(
            "--freeze-backbone",
            help="Linear probe: the head alone learns, on features computed once, without "
            "augmentation; another recipe (rate 3e-3, 300 epochs at most, float32).",
        ),
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Of the stratified cross-validation over train and val; 5 (paper, section 4.1). 1 trains "
            "once and validates on val."
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="METRIC=FRACTION to test the folds against with a two-sided one-sample t-test (paper, "
            "section 5.2), e.g. accuracy=0.897; accuracy, precision, recall, f1 or auc; repeatable."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the paper's recipe (section 4.1).")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="name=value over both, e.g. learning_rate=3e-5 (paper: 1e-4 after 5 epochs at 5e-6), "
            "epochs=10 (30), batch_size=64 (256 images), precision=32-true; repeatable.",
        ),
    ] = None,
    fractions: Fractions = "0.7,0.1,0.2",
    split_seed: Annotated[int, typer.Option(help="Of that split; the recipe's seed is --set seed=.")] = 0,
    group: Annotated[
        str | None,
        typer.Option(
            help="Regular expression with one group, searched in the images' names: those with the same text, "
            "as of a patient, go to the same split and fold."
        ),
    ] = None,
    resume: Resume = False,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    cache: Cache = None,
    show: Show = False,
) -> None:
    """Fine-tune a backbone as a classifier (paper, sections 4.1, 5.2 and 7.1; tables 4 to 9).

    224 px, AutoAugment, AdamW with weight decay 0.01, at most 30 epochs, the best by validation loss kept, five folds;
    the test images are held out. The classifier explains and exports with --weights OUT. Ctrl-C keeps the whole epochs,
    and --resume goes on from there bit for bit.
    """  # fmt: skip
    require("train", "torch", "timm", "torchvision", "yaml", "lightning_fabric", "sklearn", "scipy")
    from radiodino.runtime.progress import progress_bar

    from ..classify.recipe import load_recipe, preset, set_entries
    from ..classify.t_test import parse_references
    from ..settings import as_document

    recipe = preset(variant, freeze_backbone=freeze_backbone)
    if config:
        recipe = load_recipe(config, recipe)
    recipe = set_entries(recipe, setting or [])
    if folds is not None:
        recipe = replace(recipe, folds=folds)
    if show:
        typer.echo(json.dumps(as_document(recipe), indent=2))
        return
    if not data or out is None:
        raise InputError("name the labelled images with --data and the run's folder with --out")
    references = parse_references(reference or [])
    from ..features.texts import shares

    split_shares = shares(fractions)
    from ..classify.run import finetune as run
    from ..data.splits import SplitSettings

    try:
        done = run(
            recipe,
            data,
            out,
            weights=weights,
            checkpoint_key=checkpoint_key,
            split=SplitSettings(split_shares, split_seed, group),
            references=references,
            resume=resume,
            accelerator=accelerator,
            devices=devices,
            nodes=nodes,
            cache=cache,
            bar=progress_bar,
            say=lambda line: typer.echo(line, err=True),
        )
    except KeyboardInterrupt as interrupt:
        ending.fail(str(interrupt) or "interrupted", ending.INTERRUPTED)
    if done.is_first:
        typer.echo(f"{done.table}\n")
        typer.echo(f"wrote    {done.outcome}")
        typer.echo(f"wrote    {done.checkpoint}, of the fold with the lowest validation loss")
        typer.echo(f"next     radiodino-export --variant {recipe.variant} --weights {done.checkpoint}")
