"""Boxes of many images cut out and resized to one size: bicubic with antialias, as Pillow and torchvision do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .bands import Bands, apply_bands

_A = -0.5  # of the cubic; Pillow's, and torch's with antialias
_REACH = 2  # the cubic is 0 from there on


def resample(images: Tensor, boxes: Tensor, flips: Tensor, size: int, longest: int | None = None) -> Tensor:
    """V boxes of each of B images, resized to `size` × `size` px.

    Args:
        images: (B, C, H, W), uint8.
        boxes: (B, V, 4), int64: top, left, height and width, inside the images.
        flips: (B, V), bool: whether the result is flipped horizontally.
        size: side of the result in pixels.
        longest: no side of a box is longer; saves work where it is known to be shorter than the images.

    Returns:
        (B × V, C, size, size), float32, values of 0..255 brought to 0..1; not clipped, bicubic overshoots a little.
    """
    longest = longest or max(images.shape[2:])
    top, left, height, width = boxes.flatten(0, 1).unbind(1)
    rows = resize_bands(top, height, size, longest)
    columns = resize_bands(left, width, size, longest, flips.flatten(), 1 / 255)
    batch, views = flips.shape
    owners = torch.arange(batch, device=boxes.device)[:, None].expand(batch, views).flatten()
    return apply_bands(images, owners, rows, columns)


def resize_bands(
    starts: Tensor, lengths: Tensor, size: int, longest: int, flips: Tensor | None = None, scale: float = 1.0
) -> Bands:
    """The map that resizes a span of a line to `size` values, for n spans.

    The weights are those of Pillow's ``BICUBIC`` and of torch's bicubic with antialias for a line that was cut to the
    span first: values outside it have no influence.

    Args:
        starts: (n,), int64: the first value of the span in its line.
        lengths: (n,), int64: how many values it has.
        size: how many values it becomes.
        longest: no length is greater.
        flips: (n,), bool: whether they come out in reverse order; None for no one.
        scale: the sum of the weights of each value.
    """
    place = torch.arange(size, device=starts.device, dtype=torch.float32)
    places = place if flips is None else torch.where(flips[:, None], size - 1 - place, place)
    length = lengths.float()[:, None]
    step = length / size
    widen = step.clamp(min=1.0)
    centre = (places + 0.5) * step  # all places within the span: short enough for float32
    first = (centre - _REACH * widen + 0.5).floor().clamp(min=0)
    taps = min(math.ceil(2 * _REACH * max(longest / size, 1.0)) + 1, longest)
    offset = first[..., None] + torch.arange(taps, device=starts.device, dtype=torch.float32)
    distance = (offset - (centre - 0.5)[..., None]) * (1 / widen)[..., None]
    weights = _cubic(distance) * (offset < length[..., None])
    weights = weights * (scale / weights.sum(dim=-1, keepdim=True))
    index = torch.minimum(offset, length[..., None] - 1).long() + starts[:, None, None]
    return Bands(index, weights)


def _cubic(x: Tensor) -> Tensor:
    x = x.abs().clamp(max=_REACH)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
    return torch.where(x < 1, near, far)
