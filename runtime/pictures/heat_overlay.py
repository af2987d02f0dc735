"""A heat map on its image: where it is 0 the image is seen as it is, where it is 1 the colour prevails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STOPS = ((0.0, (60, 10, 120)), (0.35, (170, 40, 110)), (0.65, (245, 110, 40)), (1.0, (255, 240, 130)))
"""Violet to yellow, ever lighter, so that it is told apart without colour vision too."""
_STRONGEST = 0.65


def draw_heat(image: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """Draw a heat map.

    Args:
        image: mode ``RGB``, as it is shown.
        heat: float32, 0..1, of the same height and width.

    Returns:
        A new image.
    """
    weight = (_STRONGEST * heat)[..., None]
    return Image.fromarray(np.rint(np.asarray(image) * (1 - weight) + colours(heat) * weight).astype(np.uint8))


def colours(heat: NDArray[np.float32]) -> NDArray[np.float64]:
    """The colour of each value.

    Args:
        heat: 0..1, of any shape.

    Returns:
        RGB, 0..255, of that shape with a last axis of 3.
    """
    places = [place for place, _ in _STOPS]
    return np.stack([np.interp(heat, places, [colour[channel] for _, colour in _STOPS]) for channel in range(3)], -1)
