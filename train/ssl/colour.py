"""Changes of brightness and colour with a value of its own for each image of a batch.

The formulas are torchvision's for floating-point tensors (`adjust_brightness`, `adjust_contrast`, ...). Images of one
channel have no colour: saturation, hue and the loss of colour leave them as they are, exactly as they leave a PIL image
with three equal channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .crop_parameters import BRIGHTNESS, CONTRAST, HUE, NEUTRAL, SATURATION
from .transfer import to_device


def jitter_(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, in an order of its own, in place.

    Args:
        images: (N, C, H, W), floating point in 0..1, C = 1 or 3.
        factors: (N, 4): the factors of brightness, contrast and saturation, and the shift of hue in turns; what is
            `NEUTRAL` is not applied.
        order: (N, 4), int64: which comes first, second, ..., each row a permutation of 0..3. Where `factors` and
            `order` lie on the CPU and the images on another device, nothing waits for that device.

    Returns:
        `images`, in 0..1 as after each step.
    """
    steps = _STEPS if images.shape[1] == 3 else _GREY_STEPS
    for kinds in order.unbind(1):
        for kind, adjust in steps.items():
            those = ((kinds == kind) & (factors[:, kind] != NEUTRAL[kind])).nonzero().squeeze(1)
            values, those = (to_device(x, images.device) for x in (factors[those, kind], those))
            images[those] = adjust(images[those], values)
    return images


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Images (N, C, H, W) in 0..1 times `factors` (N,), clipped to 0..1."""
    return (images * _each(factors)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Images (N, C, H, W) in 0..1 moved away from (`factors` (N,) above 1) or towards their mean grey, clipped."""
    return _blend(images, luma(images).mean(dim=(1, 2, 3), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Images (N, 3, H, W) in 0..1 moved away from (`factors` (N,) above 1) or towards grey, clipped."""
    return _blend(images, luma(images), factors)


def shift_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Turn the colours of each image around the colour circle.

    Args:
        images: (N, 3, H, W), floating point in 0..1.
        shifts: (N,), in turns.

    Returns:
        (N, 3, H, W): to hue, saturation and value, the hue shifted, and back.
    """
    value, least = images.amax(dim=1), images.amin(dim=1)
    chroma = value - least
    red, green, blue = images.unbind(1)
    sixths = torch.where(
        red == value, green - blue, torch.where(green == value, blue - red + 2 * chroma, red - green + 4 * chroma)
    )
    turns = sixths / (6 * chroma.masked_fill(chroma == 0, 1.0)) + shifts[:, None, None]
    sixths = (turns - turns.floor()) * 6
    # How far each channel lies below the value, as a share of the chroma: it rises and falls over two sixths of a turn.
    below = (2 - (sixths - 3).abs(), (sixths - 2).abs() - 1, (sixths - 4).abs() - 1)
    return torch.stack([value - chroma * share.clamp_(0, 1) for share in below], dim=1)


def luma(images: Tensor) -> Tensor:
    """Grey values (N, 1, H, W) of images (N, C, H, W), C = 1 or 3."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def solarise(images: Tensor, threshold: float) -> Tensor:
    """Values from `threshold` on inverted (1 − value), in images of any shape in 0..1."""
    return torch.where(images >= threshold, 1 - images, images)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    return (images * _each(factors)).add_(others * _each(1 - factors)).clamp_(0, 1)


_GREY_STEPS: dict[int, Callable[[Tensor, Tensor], Tensor]] = {BRIGHTNESS: adjust_brightness, CONTRAST: adjust_contrast}
_STEPS = {**_GREY_STEPS, SATURATION: adjust_saturation, HUE: shift_hue}
