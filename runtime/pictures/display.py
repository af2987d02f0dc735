"""An image at a size for looking at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST, MOST = 512, 2048
"""Longest side of a picture, in pixels: smaller images are enlarged by a whole number, larger ones shrunk."""


@dataclass(frozen=True)
class Display:
    """How an image is shown.

    Args:
        size: its height and width.
    """

    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels shown for one of the image."""
        longest = max(self.size)
        return -(-LEAST // longest) if longest < LEAST else min(1.0, MOST / longest)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as they are shown, for PIL."""
        height, width = (max(1, round(side * self.scale)) for side in self.size)
        return width, height

    def image(self, image: Image.Image) -> Image.Image:
        """The image itself, mode ``RGB``; its grey values are left as they are."""
        colour = image.convert("RGB")
        if self.scale == 1:
            return colour
        return colour.resize(self.shown, Image.Resampling.BICUBIC if self.scale > 1 else Image.Resampling.LANCZOS)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask, each of its pixels a block; what would be lost by shrinking is kept."""
        plane = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
        resample = Image.Resampling.NEAREST if self.scale >= 1 else Image.Resampling.BOX
        return np.asarray(plane.resize(self.shown, resample)) > 0

    def heat(self, heat: NDArray[np.float32]) -> NDArray[np.float32]:
        """A heat map, 0..1, at the size that is shown."""
        shown: NDArray[np.float32] = np.asarray(Image.fromarray(heat).resize(self.shown, Image.Resampling.BILINEAR))
        return shown.clip(0, 1)
