"""What happens to each crop, drawn for a whole batch before any pixel is touched."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .crop_boxes import draw_boxes
from .crop_settings import CropSettings
from .transfer import to_device

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The columns of `CropParameters.factors`, and the entries of `CropParameters.order`."""

NEUTRAL = (1.0, 1.0, 1.0, 0.0)
"""The factors that change nothing."""


@dataclass(frozen=True)
class CropParameters:
    """The random choices for B samples with V views each; all tensors lie on one device."""

    boxes: Tensor
    """(B, V, 4), int64: top, left, height, width in pixels of the image."""
    flips: Tensor
    """(B, V), bool."""
    order: Tensor
    """(B, V, 4), int64: the order of brightness, contrast, saturation and hue, each row a permutation of 0..3."""
    factors: Tensor
    """(B, V, 4), float32: the factors of the first three and the shift of hue; `NEUTRAL` where nothing changes."""
    greys: Tensor
    """(B, V), bool: whether colour is taken away."""
    sigmas: Tensor
    """(B, V), float32: standard deviation of the blur in pixels; 0 where there is none."""
    solarised: Tensor
    """(B, V), bool."""

    def to(self, device: torch.device | str) -> CropParameters:
        """The same on `device`. `make_crops` copies what it needs itself, and is faster with choices on the CPU."""
        return CropParameters(*(to_device(getattr(self, f.name), device) for f in fields(self)))

    def samples(self, index: slice | Tensor) -> CropParameters:
        """Those of some samples: a process of several draws for the whole batch and takes its own part."""
        return CropParameters(*(getattr(self, f.name)[index] for f in fields(self)))


def draw_global(
    settings: CropSettings, batch: int, height: int, width: int, generator: torch.Generator
) -> CropParameters:
    """The choices for the 2 global crops of `batch` images of `height` × `width` pixels.

    How far the generator moves on depends on `batch` alone, and the same state gives the same choices: a run resumes
    exactly where the generator's state is kept. A generator on the CPU gives the same choices for every device.
    """
    kinds = [0, 1]
    return _draw(settings, kinds, settings.global_scale, batch, height, width, generator)


def draw_local(
    settings: CropSettings, batch: int, height: int, width: int, generator: torch.Generator
) -> CropParameters:
    """The choices for the local crops, `settings.local_count` per image; see `draw_global`."""
    kinds = [2] * settings.local_count
    return _draw(settings, kinds, settings.local_scale, batch, height, width, generator)


def _draw(
    settings: CropSettings,
    kinds: list[int],
    scale: tuple[float, float],
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
) -> CropParameters:
    shape = (batch, len(kinds))
    boxes = draw_boxes(shape, height, width, scale, settings.ratio, generator)
    device = generator.device
    # One plane each for: flip, jitter?, 4 factors, 4 keys of the order, grey, blur?, sigma, solarise.
    uniform = torch.rand((14, *shape), generator=generator, dtype=torch.float64, device=device)
    strength = torch.tensor(
        [settings.brightness, settings.contrast, settings.saturation, settings.hue], dtype=torch.float64, device=device
    )
    neutral = torch.tensor(NEUTRAL, dtype=torch.float64, device=device)
    jittered = (uniform[1] < settings.jitter)[..., None]
    factors = neutral + strength * (2 * uniform[2:6].movedim(0, -1) - 1) * jittered
    blur = torch.tensor([settings.blur[kind] for kind in kinds], dtype=torch.float64, device=device)
    solarise = torch.tensor([settings.solarise[kind] for kind in kinds], dtype=torch.float64, device=device)
    low, high = settings.blur_sigma
    sigmas = torch.where(uniform[11] < blur, low + (high - low) * uniform[12], 0.0)
    return CropParameters(
        boxes=boxes,
        flips=uniform[0] < settings.flip,
        order=uniform[6:10].movedim(0, -1).argsort(dim=-1),
        factors=factors.float(),
        greys=uniform[10] < settings.grey,
        sigmas=sigmas.float(),
        solarised=uniform[13] < solarise,
    )
