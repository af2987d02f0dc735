"""Gaussian blur with a width of its own for each image of a batch.

Two kinds, as the official codes use two:

- Pillow's `GaussianBlur` (DINO): along each axis three box filters, each repeating the edge, that together have the
  Gaussian's variance. Here the three are one linear map, exactly. Pillow rounds to whole levels after each of its six
  passes, this does not: at most 3 levels of 255 apart, half a level in the mean of real images.
- The Gaussian itself, cut off after some taps, with reflected edges: torchvision's `gaussian_blur` (DINOv2, 9 taps).

Either map is a weighted sum of maps that depend on the size alone, with weights that depend on the width alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations_with_replacement, permutations

import torch
from torch import Tensor
from torch.nn import functional

from .bands import Bands, apply_bands


def blur(images: Tensor, sigmas: Tensor, taps: int | None, largest: float) -> Tensor:
    """Blur each image.

    Args:
        images: (N, C, S, S), floating point.
        sigmas: (N,), float32: standard deviations in pixels, above 0.
        taps: None for Pillow's blur, or the odd number of taps of the Gaussian, at most 2 S − 1.
        largest: no one of `sigmas` is larger; sets how far Pillow's blur may reach.

    Returns:
        As `images`, float32.
    """
    bands = blur_bands(sigmas, images.shape[-1], taps, largest)
    return apply_bands(images, torch.arange(len(images), device=images.device), bands, bands)


def blur_bands(sigmas: Tensor, size: int, taps: int | None, largest: float) -> Bands:
    """The maps that blur lines of `size` values, one for each of `sigmas`; see `blur`."""
    if taps is None:
        reach = math.floor(_box_radius(torch.tensor(largest, dtype=torch.float64)).item()) + 1
        box = _box_weights(sigmas, reach)
        weights = torch.stack([box[:, i] * box[:, j] * box[:, k] for i, j, k in _cubic_terms(reach)], dim=1)
        index, basis = _repeating(size, reach, str(sigmas.device))
    else:
        offsets = torch.arange(taps // 2 + 1, device=sigmas.device)
        weights = torch.exp(-0.5 * (offsets / sigmas[:, None]) ** 2)
        weights = weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])
        index, basis = _reflecting(size, taps // 2, str(sigmas.device))
    return Bands(index.expand(len(sigmas), -1, -1), (weights @ basis.flatten(1)).reshape(-1, *index.shape))


def _box_radius(sigmas: Tensor) -> Tensor:
    """Radius of a box, with a fraction, of a third of the Gaussian's variance (Gwosdek et al. 2011, as Pillow)."""
    variance = sigmas * sigmas / 3
    whole = (((12 * variance + 1).sqrt() - 1) / 2).floor()
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    return whole + part


def _box_weights(sigmas: Tensor, reach: int) -> Tensor:
    """Weights (N, 1 + reach) of a box filter at the offsets 0, ±1, ..., ±reach."""
    radius = _box_radius(sigmas)[:, None]
    offsets = torch.arange(reach + 1, device=sigmas.device)
    return (radius + 1 - offsets).clamp(0, 1) / (2 * radius + 1)


def _cubic_terms(reach: int) -> list[tuple[int, int, int]]:
    """The products of three weights that occur in a box filter to the power of three."""
    return list(combinations_with_replacement(range(reach + 1), 3))


@lru_cache(maxsize=16)
def _repeating(size: int, reach: int, device: str) -> tuple[Tensor, Tensor]:
    """For three box filters that repeat the edge: the map that multiplies each of `_cubic_terms`."""
    line = torch.arange(size)
    shifts = [_pick(line)]
    for offset in range(1, reach + 1):
        shifts.append(_pick((line - offset).clamp(min=0)) + _pick((line + offset).clamp(max=size - 1)))
    maps = [
        torch.stack([shifts[i] @ shifts[j] @ shifts[k] for i, j, k in set(permutations(term))]).sum(0)
        for term in _cubic_terms(reach)
    ]
    return _band(torch.stack(maps), 3 * reach, device)


@lru_cache(maxsize=16)
def _reflecting(size: int, reach: int, device: str) -> tuple[Tensor, Tensor]:
    """For a filter that reflects at the edge: the map that multiplies the weight at each offset 0, ..., reach."""
    line, last = torch.arange(size), size - 1
    maps = [_pick(line)]
    for offset in range(1, reach + 1):
        maps.append(_pick((line - offset).abs()) + _pick(last - (last - line - offset).abs()))
    return _band(torch.stack(maps), reach, device)


def _pick(index: Tensor) -> Tensor:
    """The matrix that takes the values of a line at `index`."""
    return functional.one_hot(index, len(index)).float()


def _band(maps: Tensor, reach: int, device: str) -> tuple[Tensor, Tensor]:
    """Of maps (M, S, S) whose values lie within `reach` of the diagonal: index (S, K) and values (M, S, K)."""
    size = maps.shape[-1]
    taps = min(2 * reach + 1, size)
    first = (torch.arange(size) - reach).clamp(min=0, max=size - taps)
    index = first[:, None] + torch.arange(taps)
    return index.to(device), maps.gather(2, index.expand(len(maps), -1, -1)).to(device)
