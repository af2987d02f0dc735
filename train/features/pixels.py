"""The pixels themselves as an embedding: what a network has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

from .source import check_pixels

_LUMA = np.array([19595, 38470, 7471], np.uint32)  # ITU-R 601 in 1/65536, as PIL turns RGB into L
_LARGEST = 512


class PixelSource:
    """Grey values of a small image, row by row, in 0..1.

    Args:
        side: of the image in pixels, to which images are decoded (bilinear, antialiased).

    Raises:
        InputError: where it is not from 1 to 512.
    """

    device = "cpu"

    def __init__(self, side: int) -> None:
        if not 1 <= side <= _LARGEST:
            raise InputError(f"pixels:{side} must have a side from 1 to {_LARGEST} px: use pixels:32")
        self.name = f"raw {side}×{side} pixels"
        self.size = side * side
        self.image_size = side

    def describe(self) -> dict[str, Any]:
        """See `FeatureSource`."""
        return {
            "kind": "pixels",
            "source": self.name,
            "sha256": None,
            "licence": None,
            "detail": "grey values in 0..1, colour as ITU-R 601 luma",
            "image_size": self.image_size,
            "preprocessing": {"mode": "L", "resize": (self.image_size, self.image_size), "interpolation": "bilinear"},
            "device": self.device,
            "precision": "fp32",
        }

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `FeatureSource`."""
        check_pixels(pixels, self.image_size)
        if pixels.shape[1] == 3:
            grey = (np.einsum("bchw,c->bhw", pixels.astype(np.uint32), _LUMA) + 0x8000) >> 16
        else:
            grey = pixels[:, 0].astype(np.uint32)
        found: NDArray[np.float32] = grey.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)
        return found
