"""AutoAugment, image by image on the CPU, as torchvision has it, with random choices of one's own generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy


class _Drawn(AutoAugment):  # type: ignore[misc]  # torchvision has no types
    """AutoAugment for one image: torchvision draws from the generator of the whole process, which threads share."""

    def __init__(self, random: torch.Generator) -> None:
        super().__init__(AutoAugmentPolicy.IMAGENET)
        self._random = random

    def get_params(self, transform_num: int) -> tuple[int, Tensor, Tensor]:
        """Which policy, whether to apply its two operations, and with which signs, drawn as torchvision draws them."""
        policy = int(torch.randint(transform_num, (1,), generator=self._random))
        return policy, torch.rand(2, generator=self._random), torch.randint(2, (2,), generator=self._random)


def autoaugment(pixels: NDArray[np.uint8], random: torch.Generator) -> NDArray[np.uint8]:
    """One image after AutoAugment with the policy for ImageNet (Cubuk et al. 2019, torchvision's defaults).

    Geometric operations take the nearest pixel and fill with black.

    Args:
        pixels: uint8 (C, H, W), C = 1 or 3. A grey image as one channel ends as it would with three equal ones.
        random: decides everything that is random.

    Returns:
        Likewise.
    """
    grey = len(pixels) == 1
    image = Image.fromarray(pixels[0] if grey else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    found: Any = np.asarray(_Drawn(random)(image))
    return found[None] if grey else np.ascontiguousarray(found.transpose(2, 0, 1))
