"""From 8-bit pixels to what a network takes, on the device where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from radiodino.runtime.model_info import Preprocessing


def normalise(
    pixels: Tensor,
    mean: tuple[float, ...] = Preprocessing.mean,
    std: tuple[float, ...] = Preprocessing.std,
) -> Tensor:
    """``ToTensor`` and ``Normalize`` of the model card, in torchvision's order, so that every value has its bits.

    Args:
        pixels: (N, C, H, W), uint8, or float32 in 0..1; C = 1 (taken as three equal channels) or 3.
        mean: of the three channels, in units of the full range; ImageNet's by default.
        std: likewise.

    Returns:
        (N, 3, H, W), float32, on the device of `pixels`.
    """
    scaled = pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels
    middle, spread = (torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) for values in (mean, std))
    return scaled.sub(middle).div_(spread)
