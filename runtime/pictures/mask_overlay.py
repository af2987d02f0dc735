"""A mask on its image: an outline outside of it, and a light tint through which the image is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOUR = (255, 176, 0)
"""Amber: neither a grey value nor a colour of flow in ultrasound."""
_TINT = 0.18


def draw_mask(image: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """Draw a mask.

    Args:
        image: mode ``RGB``, as it is shown.
        mask: bool, of the same height and width.

    Returns:
        A new image; away from mask and outline its pixels are those of `image`.
    """
    pixels = np.array(image)
    colour = np.array(COLOUR, np.float32)
    pixels[mask] = np.rint(pixels[mask] * (1 - _TINT) + colour * _TINT).astype(np.uint8)
    pixels[_dilated(mask, max(2, round(max(mask.shape) / 300))) & ~mask] = COLOUR
    return Image.fromarray(pixels)


def _dilated(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The mask, wider by so many pixels on all sides."""
    wide = mask.copy()
    for axis in (0, 1):
        before = wide.copy()
        for step in range(1, min(width, mask.shape[axis] - 1) + 1):
            there, here = [slice(None)] * 2, [slice(None)] * 2
            there[axis], here[axis] = slice(step, None), slice(None, -step)
            wide[tuple(there)] |= before[tuple(here)]
            wide[tuple(here)] |= before[tuple(there)]
    return wide
