"""What turns images into embeddings: a network, an exported file, or the plain pixels."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError


class FeatureSource(Protocol):
    """Something that gives each image an embedding."""

    @property
    def name(self) -> str:
        """What a table calls it."""

    @property
    def size(self) -> int:
        """Length D of an embedding."""

    @property
    def image_size(self) -> int:
        """Side, in pixels, at which images are decoded for it."""

    @property
    def device(self) -> str:
        """What computes, in words."""

    def describe(self) -> dict[str, Any]:
        """Where the numbers come from, JSON-able.

        ``kind`` (``published``, ``demo``, ``file``, ``random``, ``exported``, ``timm`` or ``pixels``), ``source``,
        ``sha256``, ``licence`` (None where none is stated), ``detail``, ``image_size``, ``preprocessing``, ``device``
        and ``precision``; of weights that something must be said of (`radiodino.runtime.notice`) ``notice``.
        """

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embeddings of some images.

        Args:
            pixels: uint8 (B, C, S, S), C = 1 (stands for three equal channels) or 3, S = `image_size`, B ≥ 1.

        Returns:
            float32 (B, D).

        Raises:
            InputError: where the array is another.
        """


def check_pixels(pixels: NDArray[Any], image_size: int) -> None:
    """See that `pixels` are what `FeatureSource.embed` takes.

    Raises:
        InputError: where they are not.
    """
    square = pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.shape[2:] == (image_size, image_size)
    if pixels.dtype != np.uint8 or not square or not len(pixels):
        raise InputError(
            f"expected images as uint8 (B, 1 or 3, {image_size}, {image_size}), found {pixels.dtype} "
            f"{pixels.shape}: decode them at {image_size} px with open_images"
        )
