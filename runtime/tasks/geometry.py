"""From the network's square back to the image as it was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]


def resize_back(values: Array, size: tuple[int, int]) -> Array:
    """Values on the network's square, stretched over the image that it was made of.

    Bilinear, with pixels as areas (the first pixel's centre lies half a pixel inside), as the image was resized on its
    way in; antialiased where it shrinks.

    Args:
        values: float32 (h, w), finite.
        size: height and width of the image, each at least 1.

    Returns:
        float32 (height, width), nowhere below the least or above the greatest of `values`.
    """
    height, width = size
    resized: Array = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
    return resized.clip(values.min(), values.max())  # rounding may overshoot by a bit


def area_mm2(pixels: int, spacing: tuple[float, float] | None) -> float | None:
    """The area of so many pixels in mm².

    Args:
        pixels: how many.
        spacing: distance of rows and of columns in mm; None where it is not known.

    Returns:
        The area, None where the spacing is not known.
    """
    return None if spacing is None else pixels * spacing[0] * spacing[1]
