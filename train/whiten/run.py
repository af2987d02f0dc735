"""Whitening of a pretraining run's embeddings, in the order of execution."""

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
from ..ssl.crop_settings import CropSettings
from ..weights.load import load_weights
from ..weights.read_checkpoint import find_checkpoint, read_checkpoint
from .absorb import absorb, leave
from .tokens import gather_tokens
from .whitening import fit_whitening

COPIED = ("recipe.json", "log.csv")
_HELD_OUT = 0.1  # of the images: they judge how well the map was learnt
_LEAST_COSINE = 0.98


@dataclass(frozen=True, kw_only=True)
class WhitenSettings:
    """Every number of it."""

    power: float = 0.5
    """See `fit_whitening`."""
    samples: int = 12_000
    """Images and crops of them, equally many of each source."""
    steps: int = 3_000
    """See `absorb`."""
    image_size: int = 224
    seed: int = 0


@dataclass(frozen=True)
class Whitened:
    """What was done."""

    checkpoint: Path
    cosine: float
    """Mean over held-out samples, of the network's embedding to the whitened one that it learnt to give."""


def whiten(
    run: Path,
    inputs: Sequence[str],
    out: Path,
    settings: WhitenSettings,
    *,
    split: str | None = None,
    accelerator: str = "auto",
    bf16: bool = False,
    cache: Path | None = None,
    progress: Bar = no_bar,
    say: Callable[[str], None] = lambda _line: None,
) -> Whitened:
    """Write a copy of a pretraining run whose teacher gives whitened embeddings.

    Args:
        run: the folder of a run of ``radiodino-train pretrain``.
        inputs: images, best those that it was trained on; see `open_images`.
        out: the folder to write.
        settings: every number.
        split: see `open_images`.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        bf16: whether the images go through the network in bf16.
        cache: see `open_images`.
        progress: shows how far it is.
        say: is told lines for the user.

    Raises:
        InputError: no such run or images, or a setting out of range.
        WeightsError: the run's checkpoint cannot be read, or its last MLP could not learn the map.
        OutputError: `out` holds a checkpoint already, or cannot be written.
    """
    if min(settings.samples, settings.steps) < 20:
        raise InputError(f"give at least 20 samples and steps, not {settings.samples} and {settings.steps}")
    target = out / "checkpoint.pth"
    if target.exists():
        raise OutputError(f"{out} holds a checkpoint already: choose another --out")
    raw = read_checkpoint(find_checkpoint(run))
    recipe = raw.get("recipe")
    missing = [name for name in COPIED if not (run / name).is_file()]
    if not isinstance(recipe, dict) or "teacher" not in raw or missing:
        raise InputError(f"{run} is no folder of a run of radiodino-train pretrain: name one")
    variant, device = get_variant(recipe["variant"]), choose_device(accelerator)
    backbone, _ = load_weights(variant, str(run), image_size=settings.image_size)
    say(f"device   {in_words(device)}, in {'bf16' if bf16 else 'fp32'}")

    with progress("images") as told:
        images = open_images(inputs, settings.image_size, split=split, cache=cache, progress=told)
    for note in images.notes():
        say(f"note     {note}")
    with progress("tokens") as told:
        tokens = gather_tokens(
            backbone.to(device),
            images,
            settings.samples,
            _crops(settings.image_size),
            seed=settings.seed,
            device=device,
            autocast=bf16,
            progress=told,
        )

    # The CLS tokens decide the map; the patches follow it, so that both keep speaking the same language.
    whitening = fit_whitening(tokens.leaving[:, 0], settings.power)
    wanted = whitening.directions(tokens.leaving)
    first = max(1, round(settings.samples * _HELD_OUT))
    backbone.cpu()
    with progress("last MLP") as told:
        absorb(
            backbone, tokens.entering[first:], wanted[first:], steps=settings.steps, seed=settings.seed, progress=told
        )
    with torch.inference_mode():
        cosine = float((leave(backbone, tokens.entering[:first, 0]) * wanted[:first, 0]).sum(dim=-1).mean())
    if not cosine >= _LEAST_COSINE:
        raise WeightsError(
            f"the last MLP gives the whitened embeddings of held-out images with a mean cosine of {cosine:.3f}, below "
            f"{_LEAST_COSINE}: lower --power, or raise --samples and --steps"
        )

    raw["teacher"] = {name: value for name, value in raw["teacher"].items() if not name.startswith("backbone.")} | {
        f"backbone.{name}": value for name, value in backbone.state_dict().items()
    }
    kept = {name: raw[name] for name in ("teacher", "step", "recipe")}
    make_folder(out)
    for name in COPIED:
        with atomic_path(out / name, overwrite=True) as temporary:
            shutil.copyfile(run / name, temporary)
    with atomic_path(out / "whitening.json", overwrite=True) as temporary:
        document = {**asdict(settings), "inputs": [Path(name).name for name in inputs], "held_out_cosine": cosine}
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    with atomic_path(target, overwrite=False) as temporary:  # last: where it is, all is
        torch.save({**kept, "whitening": document}, temporary)
    return Whitened(target, cosine)


def _crops(image_size: int) -> CropSettings:
    """Mild ones: most of the image, brighter or darker."""
    return CropSettings(
        global_size=image_size,
        local_size=image_size,
        local_count=0,
        global_scale=(0.6, 1.0),
        brightness=0.2,
        contrast=0.2,
        saturation=0.0,
        hue=0.0,
        grey=0.0,
        blur=(0.0, 0.0, 0.0),
        solarise=(0.0, 0.0, 0.0),
        jitter=0.5,
    )
