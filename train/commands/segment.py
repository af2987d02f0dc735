"""``radiodino-train segment``: a segmentation head on frozen features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import get_variant

from .options import Accelerator, BackboneWeights, Cache, CheckpointKey, Group, Resume, Show, Variant

_HEADS = {"paper": ("paper",), "lite": ("lite",), "both": ("paper", "lite")}


def segment(
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Images with masks: folders or zip archives, with NAME_mask.png beside NAME.png (BUSI's own layout) "
            "or folders images/ and masks/ with equal names; may be given several times."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    variant: Variant = "tiny",
    weights: BackboneWeights = "published",
    checkpoint_key: CheckpointKey = None,
    head: Annotated[
        str,
        typer.Option(
            help="paper (section 7.2), lite (this project's own, at least 260 times fewer multiply-adds) or both."
        ),
    ] = "lite",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, a multiple of the patch; 448 (paper, section 7.2).")
    ] = None,
    fractions: Annotated[
        str, typer.Option(help="Shares of training, validation and test images; of BUSI 0.6,0.2,0.2 (paper, table 1).")
    ] = "0.7,0.1,0.2",
    split_seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Of the training; 0.")] = None,
    group: Group = None,
    lesions_only: Annotated[
        bool,
        typer.Option(
            "--lesions-only/--include-empty",
            help="Leave out images whose mask is empty, or keep them, which is the default; the paper does not say.",
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(help="At most; 30 for paper (section 4.1), 60 for lite; fewer where validation says so."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step; 16 (paper, section 7.2).")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the presets.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="name=value over presets and file, e.g. views.count=4 or paper.micro_batch=2; repeatable."
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of training: 32-true or bf16-mixed; 32-true. Tests are in float32.")
    ] = None,
    resume: Resume = False,
    accelerator: Accelerator = "auto",
    pictures: Annotated[int, typer.Option(min=0, help="Test images with a lesion to draw, from worst to best.")] = 5,
    cache: Cache = None,
    show: Show = False,
) -> None:
    """Segment lesions with a head on the frozen backbone (paper, section 7.2, table 10).

    Writes OUT/segmenter-HEAD.pth, segment.json, segment.md and pictures. Ctrl-C ends it with the last whole epoch, and
    --resume goes on from there bit for bit.
    """
    require("train", "torch", "timm", "yaml", "lightning_fabric", "matplotlib")
    if head not in _HEADS:
        raise InputError(f"there is no segmentation head '{head}': choose one of {', '.join(_HEADS)}")
    from ..features.texts import shares
    from ..segment.recipe import resolve
    from ..settings import as_document

    heads = _HEADS[head]
    recipe = resolve(
        heads,
        config=config,
        settings=setting or [],
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        precision=precision,
        seed=seed,
    )
    if show:
        typer.echo(json.dumps(as_document(recipe), indent=2))
        return
    if not data or out is None:
        raise InputError("name the images with --data and the results' folder with --out")
    known = get_variant(variant)
    known.grid(recipe.image_size)
    split_shares = shares(fractions)
    from radiodino.runtime.progress import progress_bar

    from ..data.mask_pairs import open_pairs
    from ..segment.pairs import split_pairs
    from ..segment.run import segment as run
    from ..segment.run import training_file

    begun = [kind for kind in heads if (out / training_file(kind)).exists()]
    if begun and not resume:  # said before images are decoded
        raise OutputError(
            f"{out} holds a training of the {begun[0]} head already: add --resume to go on with it, or choose another "
            "--out"
        )

    try:
        with progress_bar("images") as progress:
            pairs = open_pairs(data, recipe.image_size, cache=cache, progress=progress)
        split = split_pairs(pairs, fractions=split_shares, seed=split_seed, group=group, lesions_only=lesions_only)
        written = run(
            split,
            data,
            out,
            variant=known,
            weights=weights,
            checkpoint_key=checkpoint_key,
            heads=heads,
            recipe=recipe,
            accelerator=accelerator,
            resume=resume,
            pictures=pictures,
            progress=progress_bar,
            say=typer.echo,
        )
    except KeyboardInterrupt as interrupt:
        ending.fail(str(interrupt) or "interrupted", ending.INTERRUPTED)
    typer.echo()
    typer.echo((out / "segment.md").read_text(encoding="utf-8"))
    typer.echo(f"wrote    {written}" + (f", {out / 'pictures'}" if pictures else ""))
    for kind in heads:
        typer.echo(f"         {out / f'segmenter-{kind}.pth'}")
