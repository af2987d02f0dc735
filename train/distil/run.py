"""Self-distillation of a pretraining run, in the order of execution.

A network trained briefly says more at the sizes of its crops than at the size it is used at, its patches know what
its CLS token does not, and few directions of the embedding outweigh all others. So its last blocks learn to give, at
one size, the whitened sum of what it says at several: a distillation as DINO's (a teacher's view of an image for the
student's), with the network itself, at other sizes, as a teacher that stands still. Architecture and cost stay.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError, WeightsError
from radiodino.runtime.folder import make_folder
from radiodino.runtime.variants import get_variant

from ..data.open_images import open_images
from ..features.bar import Bar, no_bar
from ..features.device import choose_device, in_words
from ..weights.load import fitted_backbone
from ..weights.read_checkpoint import find_checkpoint, read_checkpoint
from .learn import BATCH, embed, learn
from .target import joined_target
from .views import gather_views

COPIED = ("recipe.json", "log.csv")
_HELD_OUT = 0.1  # of the samples: they judge what was learnt
_LEAST = 20  # samples and steps


@dataclass(frozen=True, kw_only=True)
class DistilSettings:
    """Every number of it."""

    sizes: tuple[int, ...] = (64, 96, 224)
    """Of the images that the target is made of, in pixels; the largest is the one that is learnt for."""
    power: float = 0.5
    """See `radiodino.train.distil.whitening.fit_whitening`."""
    blocks: int = 2
    """How many of the last blocks learn."""
    samples: int = 6_000
    """Images and crops of them, equally many of each source."""
    steps: int = 1_500
    """See `radiodino.train.distil.learn.learn`."""
    seed: int = 0


@dataclass(frozen=True)
class Distilled:
    """What was done."""

    checkpoint: Path
    before: float
    """Mean cosine, over held-out samples, of the embedding to the target, before and after."""
    after: float


def distil(
    run: Path,
    inputs: Sequence[str],
    out: Path,
    settings: DistilSettings,
    *,
    split: str | None = None,
    accelerator: str = "auto",
    bf16: bool = False,
    cache: Path | None = None,
    progress: Bar = no_bar,
    say: Callable[[str], None] = lambda _line: None,
) -> Distilled:
    """Write a copy of a pretraining run whose teacher's last blocks have learnt.

    Args:
        run: the folder of a run of ``radiodino-train pretrain``.
        inputs: images, best those that it was trained on; see `open_images`.
        out: the folder to write: ``checkpoint.pth``, ``distil.json``, and the run's recipe and log.
        settings: every number.
        split: see `open_images`.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        bf16: whether the network runs in bf16.
        cache: see `open_images`.
        progress: shows how far it is.
        say: is told lines for the user.

    Raises:
        InputError: no such run or images, or a setting out of range.
        WeightsError: the run's checkpoint cannot be read, or nothing was learnt.
        OutputError: `out` holds a checkpoint already, or cannot be written.
    """
    target = out / "checkpoint.pth"
    if target.exists():
        raise OutputError(f"{out} holds a checkpoint already: choose another --out")
    file = find_checkpoint(run)
    raw = read_checkpoint(file)
    recipe = raw.get("recipe")
    missing = [name for name in COPIED if not (run / name).is_file()]
    if not isinstance(recipe, dict) or "teacher" not in raw or missing:
        raise InputError(f"{run} is no folder of a run of radiodino-train pretrain: name one")
    variant, device = get_variant(recipe["variant"]), choose_device(accelerator)
    _check(settings, variant.depth)
    largest = max(settings.sizes)
    # They may share values, of which some change once the last blocks of one of them learn: none is used after that.
    backbones = {
        size: fitted_backbone(raw, variant, image_size=size, source=file.name)[0].requires_grad_(False).to(device)
        for size in dict.fromkeys(settings.sizes)
    }
    say(f"device   {in_words(device)}, in {'bf16' if bf16 else 'fp32'}")

    # What the network says of the images at all sizes.
    with progress("images") as told:
        images = open_images(inputs, largest, split=split, cache=cache, progress=told)
    for note in images.notes():
        say(f"note     {note}")
    with progress("views") as told:
        views = gather_views(
            backbones,
            images,
            settings.samples,
            settings.blocks,
            seed=settings.seed,
            device=device,
            autocast=bf16,
            progress=told,
        )
    wanted = joined_target(views.features, settings.power, near=f"cls {largest}")

    # The last blocks at the largest size learn it.
    held_out = max(2, round(settings.samples * _HELD_OUT))
    backbone = backbones[largest]

    def cosine() -> float:
        with torch.inference_mode():
            parts = torch.split(views.entering[:held_out].to(device), BATCH)
            found = torch.cat([embed(backbone, settings.blocks, part, autocast=bf16) for part in parts])
        return float((found.cpu() * wanted[:held_out]).sum(dim=1).mean())

    before = cosine()
    with progress("last blocks") as told:
        learn(
            backbone,
            settings.blocks,
            views.entering[held_out:],
            wanted[held_out:],
            steps=settings.steps,
            seed=settings.seed,
            device=device,
            autocast=bf16,
            progress=told,
        )
    after = cosine()
    if not after > before:
        raise WeightsError(
            f"the last blocks are no nearer to the target than before (mean cosine {after:.3f}, before {before:.3f}): "
            "raise --samples and --steps"
        )

    # A run again, to those who read it.
    learnt = {f"backbone.{name}": value.cpu() for name, value in backbone.state_dict().items()}
    teacher = {name: value for name, value in raw["teacher"].items() if not name.startswith("backbone.")} | learnt
    document = {
        **asdict(settings),
        "sizes": list(settings.sizes),
        "inputs": [Path(name).name for name in inputs],
        "held_out_cosine": {"before": before, "after": after},
    }
    make_folder(out)
    for name in COPIED:
        with atomic_path(out / name, overwrite=True) as temporary:
            shutil.copyfile(run / name, temporary)
    with atomic_path(out / "distil.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    with atomic_path(target, overwrite=False) as temporary:  # last: where it is, all is
        torch.save({"teacher": teacher, "step": raw["step"], "recipe": recipe, "distil": document}, temporary)
    return Distilled(target, before, after)


def _check(settings: DistilSettings, depth: int) -> None:
    if min(settings.samples, settings.steps) < _LEAST:
        raise InputError(f"give at least {_LEAST} samples and steps, not {settings.samples} and {settings.steps}")
    if not 1 <= settings.blocks <= depth:
        raise InputError(f"of {depth} blocks 1 to {depth} can learn, not {settings.blocks}: change --blocks")
