"""From an 8-bit image to the network's input, pixel for pixel as the model card's torchvision pipeline.

``Resize((224, 224))`` on a PIL image, ``ToTensor``, ``Normalize``. Resizing one grey channel and replicating it gives
the same bits as resizing three equal ones, and a 256-entry table per channel gives the same bits as the arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import ModelFileError
from .model_info import Preprocessing

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Preprocessor:
    """Turns images into network input as one exported file prescribes.

    Args:
        settings: the preprocessing recorded in the file.

    Raises:
        ModelFileError: where the file asks for a mode or filter that this version does not know, or for the impossible.
    """

    def __init__(self, settings: Preprocessing) -> None:
        if settings.mode != "RGB" or settings.interpolation not in _FILTERS:
            raise ModelFileError(
                f"the file asks for {settings.mode} images resized by '{settings.interpolation}', "
                f"this radiodino knows RGB and {', '.join(_FILTERS)}: upgrade radiodino"
            )
        if min(settings.resize) < 1 or min(settings.std) <= 0:
            raise ModelFileError(
                f"the file asks for images of {settings.resize} pixels and a standard deviation of {settings.std}, "
                "which cannot be: export it again"
            )
        self.settings = settings
        self._filter = _FILTERS[settings.interpolation]
        # In float32 and in torchvision's order of operations, so that every entry has torchvision's bits.
        scaled = np.arange(256, dtype=np.float32) / np.float32(255)
        if settings.value_range != (0.0, 1.0):
            low, high = np.array(settings.value_range, np.float32)
            scaled = scaled * (high - low) + low
        mean, std = (np.array(values, np.float32)[:, None] for values in (settings.mean, settings.std))
        self._table: NDArray[np.float32] = (scaled[None] - mean) / std  # (3, 256)

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """The network's input for one image.

        Args:
            image: 8-bit PIL image of mode ``L`` (taken as three equal channels) or ``RGB``, any size.

        Returns:
            float32 array (3, height, width), normalised.
        """
        height, width = self.settings.resize
        pixels = np.asarray(image.resize((width, height), self._filter))
        output = np.empty((3, height, width), np.float32)
        for channel in range(3):
            np.take(self._table[channel], pixels if pixels.ndim == 2 else pixels[..., channel], out=output[channel])
        return output
