"""Every number of the multi-crop augmentation, with the official presets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from radiodino.runtime.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """How one image becomes 2 global and several local crops; the defaults are those of DINO (`main_dino.py`).

    Probabilities and strengths have one value per kind of crop where the kinds differ: first global, second global,
    local.

    Raises:
        InputError: where a number is outside its range.
    """

    global_size: int = 224
    """Side of the two global crops in pixels."""
    local_size: int = 96
    """Side of the local crops in pixels."""
    local_count: int = 8
    """Local crops per image."""
    global_scale: tuple[float, float] = (0.4, 1.0)
    """Least and greatest share of the image's area in a global crop."""
    local_scale: tuple[float, float] = (0.05, 0.4)
    """Likewise for local crops."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Least and greatest ratio of width to height before a crop is made square."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: float = 0.8
    """Probability that brightness, contrast, saturation and hue are changed, in random order."""
    brightness: float = 0.4
    """The factor lies between 1 − this and 1 + this."""
    contrast: float = 0.4
    """Likewise."""
    saturation: float = 0.2
    """Likewise."""
    hue: float = 0.1
    """The shift lies between − this and + this, in turns of the colour circle."""
    grey: float = 0.2
    """Probability that a colour crop loses its colour."""
    blur: tuple[float, float, float] = (1.0, 0.1, 0.5)
    """Probabilities of a Gaussian blur: first global, second global, local."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Least and greatest standard deviation of the blur in pixels of the crop."""
    blur_taps: int | None = None
    """None: Pillow's blur, three box filters of the same variance (DINO); an odd number: the Gaussian cut off after so
    many taps, as torchvision's (DINOv2: 9)."""
    solarise: tuple[float, float, float] = (0.0, 0.2, 0.0)
    """Probabilities that values from `solarise_threshold` on are inverted: first global, second global, local."""
    solarise_threshold: int = 128
    """Of 255."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from the red, green and blue values in 0..1 (ImageNet's, as in the model card)."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Divides what is left."""

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "grey"):
            _between(name, (getattr(self, name),), 0, 1)
        for name in ("blur", "solarise"):
            _between(name, getattr(self, name), 0, 1)
        for name in ("brightness", "contrast", "saturation"):
            _between(name, (getattr(self, name),), 0, 1)
        _between("hue", (self.hue,), 0, 0.5)
        _between("solarise_threshold", (self.solarise_threshold,), 0, 256)
        _between("local_count", (self.local_count,), 0, math.inf)
        for name in ("global_size", "local_size"):
            _between(name, (getattr(self, name),), 1, math.inf)
        for name, high in (("global_scale", 1.0), ("local_scale", 1.0), ("ratio", math.inf), ("blur_sigma", 100.0)):
            pair = getattr(self, name)
            if not 0 < pair[0] <= pair[1] <= high:
                limit = f" and at most {high:g}" if high < math.inf else ""
                raise InputError(f"{name} must be two rising numbers above 0{limit}, found {pair}: change them")
        if min(self.std) <= 0:
            raise InputError(f"std must be above 0, found {self.std}: change it")
        taps = self.blur_taps
        if taps is not None and (taps < 1 or taps % 2 == 0 or taps // 2 >= min(self.global_size, self.local_size)):
            raise InputError(
                f"blur_taps must be an odd number below twice the crops' side, or nothing for Pillow's blur, found "
                f"{taps}: use 9 as DINOv2 does"
            )

    def check_patch(self, patch: int) -> None:
        """See that the crops can be cut into patches.

        Args:
            patch: side of the model's patches in pixels.

        Raises:
            InputError: where a side is not a multiple of it, naming the nearest that are.
        """
        for name in ("global_size", "local_size"):
            size = getattr(self, name)
            if size % patch:
                below = size // patch * patch
                nearest = [str(near) for near in (below, below + patch) if near]
                raise InputError(
                    f"{name} {size} is not a multiple of the patch ({patch} px): use {' or '.join(nearest)}"
                )


def _between(name: str, values: tuple[float, ...], low: float, high: float) -> None:
    for value in values:
        if not low <= value <= high:  # NaN fails too
            limit = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
            raise InputError(f"{name} must be {limit}, found {value:g}: change it")


DINO_CROPS = CropSettings()
"""As `main_dino.py`."""

DINOV2_CROPS = CropSettings(global_scale=(0.32, 1.0), local_scale=(0.05, 0.32), local_size=98, blur_taps=9)
"""As DINOv2's default configuration for patch 14.

The blur's probabilities are the stated ones, 1.0, 0.1 and 0.5. The released code hands torchvision their complements,
so that DINOv2's own models were trained with 0.0, 0.9 and 0.5; ``replace(DINOV2_CROPS, blur=(0.0, 0.9, 0.5))`` does
as it did.
"""
