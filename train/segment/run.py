"""The evaluation by segmentation (paper, section 7.2), in the order of execution."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from radiodino.runtime.errors import InputError
from radiodino.runtime.folder import make_folder
from radiodino.runtime.variants import Variant

from ..evaluate.outcome import write_outcome
from ..features.bar import Bar, no_bar
from ..features.device import choose_device, in_words
from ..settings import as_document
from ..weights.load import load_weights
from .document import make_document
from .estimate import duration, measure, refuse_too_large
from .examples import Examples
from .heads import build_head, parameter_count
from .loop import begun, train_head
from .macs import backbone_macs
from .metrics import EMPTY_CONVENTION
from .pairs import SplitPairs
from .pictures import Outline, choose, draw
from .predict import probabilities
from .recipe import SegmentRecipe
from .results import Tested, metrics_of, results_of, table_of, tested_head
from .segmenter import Segmenter, save_segmenter

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def segment(
    split: SplitPairs,
    inputs: Sequence[str],
    out: Path,
    *,
    variant: Variant,
    weights: str,
    checkpoint_key: str | None = None,
    heads: Sequence[str],
    recipe: SegmentRecipe,
    accelerator: str = "auto",
    resume: bool = False,
    pictures: int = 5,
    progress: Bar = no_bar,
    say: Callable[[str], None] = lambda _line: None,
    stop_after: int | None = None,
) -> Path:
    """Train heads on the frozen backbone, test them on the same images, and write all down.

    Args:
        split: images and masks of the recipe's size.
        inputs: where they came from, as typed, for the record.
        out: the folder for ``segmenter-HEAD.pth``, ``segment.json``, ``segment.md`` and ``pictures``.
        variant: of the backbone.
        weights: see `load_weights`.
        checkpoint_key: likewise.
        heads: names of `HEADS`, to be trained one after the other.
        recipe: every number.
        accelerator: as Lightning Fabric names them: ``auto``, ``cpu``, ``cuda``.
        resume: go on with trainings that lie in `out`.
        pictures: how many test images with a lesion to draw, spread from the worst Dice to the best.
        progress: shows how far it is.
        say: is told lines for the user: device, estimates.
        stop_after: see `train_head`.

    Returns:
        The path of the JSON file.

    Raises:
        InputError: where the memory is too small, or a training in `out` is another one.
        OutputError: where something cannot be written.
        WeightsError: see `load_weights`.
        TrainingError: see `train_head`.
        KeyboardInterrupt: likewise.
    """
    from lightning_fabric import Fabric

    size = recipe.image_size
    if variant.grid(size) < 2:
        raise InputError(
            f"segmentation needs images of at least two patches ({2 * variant.patch} px) along a side, not {size}: "
            "use --image-size 448"
        )
    device = choose_device(accelerator)
    fabric = Fabric(accelerator=device.type, devices=1, precision=recipe.precision)  # type: ignore[arg-type]
    backbone, source = load_weights(variant, weights, image_size=size, seed=recipe.seed, checkpoint_key=checkpoint_key)
    backbone.requires_grad_(False).eval().to(fabric.device)
    counts = split.counts()
    say(f"device   {in_words(device)}, training in {recipe.precision}, validation and test in float32")
    if source.notice:
        say(f"WARNING  {source.notice}")
    for remark in split.pairs.remarks:
        say(f"note     {remark}")
    say("images   " + ", ".join(f"{part} {found['images']}" for part, found in counts.items()))
    if split.pairs.skipped:
        name, reason = next(iter(split.pairs.skipped.items()))
        say(f"skipped  {len(split.pairs.skipped)} images, the first {name}: {reason}")

    # What it will take, before it is begun.
    built = [build_head(kind, variant.embedding_size, variant.patch, seed=recipe.seed) for kind in heads]
    train, val = (len(split.places[name]) for name in ("train", "val"))
    for head in built:
        found, own = measure(backbone, head, fabric, size), recipe.of(head.kind)
        needed = found.memory_bytes(own, train)
        seconds = found.training_seconds(recipe, head.kind, train, val)
        say(
            f"{head.kind:<9}{parameter_count(head) / 1e6:.2f} M parameters, {head.macs(size) / 1e9:.2f} GMACs; at most "
            f"{own.epochs} epochs, about {duration(seconds)} and {needed / 2**30:.1f} GiB"
        )
        refuse_too_large(needed, head.kind, own, fabric.device)

    # Nothing is computed for a training that cannot go on.
    identity = {"variant": variant.name, "weights": source.sha256, "images": _digest(split)}
    for kind in heads:
        begun(out / training_file(kind), {**identity, "recipe": recipe.document_of(kind)}, resume=resume)
    make_folder(out)

    # The backbone's tokens, once for all heads, then each head.
    with progress("backbone") as told:
        examples = Examples(split, backbone, recipe, fabric, out, told)
    tested = []
    for head in built:
        with progress(head.kind) as told:
            trained = train_head(
                head,
                examples,
                recipe,
                fabric,
                out / training_file(head.kind),
                {**identity, "recipe": recipe.document_of(head.kind)},
                resume=resume,
                progress=told,
                stop_after=stop_after,
            )
        segmenter = Segmenter(backbone, head).eval()
        tested.append(tested_head(segmenter, split, trained, fabric.device))
        document = make_document(
            variant=variant,
            source=source,
            head=head,
            recipe=recipe,
            inputs=inputs,
            split=split,
            trained=trained,
            threshold=tested[-1].threshold,
            metrics=metrics_of(tested[-1], split),
        )
        save_segmenter(out / f"segmenter-{head.kind}.pth", segmenter, document)

    if pictures:
        _draw(backbone, tested, split, out / "pictures", fabric, pictures)
    return write_outcome(
        out,
        "segment",
        settings={
            "variant": variant.name,
            "weights": asdict(source),
            "image_size": size,
            "recipe": as_document(recipe),
            "device": in_words(device),
            "empty_masks": EMPTY_CONVENTION,
        },
        data={
            "inputs": list(inputs),
            "counts": counts,
            "split": split.origin,
            "skipped": dict(split.pairs.skipped),
            "remarks": list(split.pairs.remarks),
        },
        results={
            "backbone_gmacs": backbone_macs(variant, size) / 1e9,
            "heads": {one.head.kind: results_of(one, split) for one in tested},
        },
        table=table_of(tested, split, variant),
    )


def training_file(head: str) -> str:
    """The name of the file that a training of this head goes on from; it has no suffix of a checkpoint."""
    return f"training-{head}.state"


def _draw(
    backbone: torch.nn.Module, tested: Sequence[Tested], split: SplitPairs, folder: Path, fabric: Fabric, count: int
) -> None:
    """Pictures of the test images that `choose` finds for the first head, named by their Dice there."""
    test = split.places["test"]
    chosen = choose(tested[0].test.dice[0], split.lesions[test], count)
    masks = []
    for one in tested:
        found = probabilities(Segmenter(backbone, one.head).eval(), split.pairs, test[chosen], fabric.device)
        masks.append(torch.cat([part >= one.threshold for part in found]).cpu().numpy())
    for number, row in enumerate(chosen):
        place = int(test[row])
        outlines = [Outline("drawn by hand", split.pairs.masks[place].astype(bool), True)]
        for one, found_masks in zip(tested, masks, strict=True):
            title = f"{one.head.kind}: Dice {one.test.dice[0][row]:.2f}"
            outlines.append(Outline(title, found_masks[number], False))
        draw(folder / f"{number + 1}.png", np.asarray(split.pairs.pixels[place]), outlines)


def _digest(split: SplitPairs) -> str:
    """Of which images are in which split, and how large their masks are."""
    digest = hashlib.sha256()
    for name, places in split.places.items():
        for place in places:
            digest.update(f"{name}\0{split.pairs.names[place]}\0{int(split.pairs.masks[place].sum())}\n".encode())
    return digest.hexdigest()
