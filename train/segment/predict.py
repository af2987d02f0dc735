"""Predicted masks of a segmenter, and the threshold that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.normalise import normalise
from .examples import EVALUATED_AT_ONCE
from .metrics import Values, overlap
from .pairs import Pairs

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True)
class Overlaps:
    """Dice and IoU of some images at several thresholds."""

    dice: Values
    """(T, N)."""
    iou: Values
    """(T, N)."""


@torch.no_grad()
def probabilities(
    segmenter: nn.Module, pairs: Pairs, places: NDArray[np.int64], device: torch.device
) -> Iterator[Tensor]:
    """The lesion's probability (B, S, S), float32, of the images at `places`, a few images at a time."""
    for start in range(0, len(places), EVALUATED_AT_ONCE):
        own = places[start : start + EVALUATED_AT_ONCE]
        pixels = torch.from_numpy(np.ascontiguousarray(pairs.pixels[own])).to(device)
        yield segmenter(normalise(pixels)).float().sigmoid()


def overlaps(
    segmenter: nn.Module,
    pairs: Pairs,
    places: NDArray[np.int64],
    thresholds: tuple[float, ...],
    device: torch.device,
) -> Overlaps:
    """Dice and IoU of the images at `places` where a pixel is the lesion's from each of `thresholds` on.

    Args:
        segmenter: in evaluation mode on `device`.
        pairs: images and masks.
        places: which of them, N.
        thresholds: T probabilities.
        device: where to compute.
    """
    dice, iou = np.empty((2, len(thresholds), len(places)))
    start = 0
    for found in probabilities(segmenter, pairs, places, device):
        own = slice(start, start + len(found))
        truths = torch.from_numpy(np.ascontiguousarray(pairs.masks[places[own]])).to(device).bool()
        for row, threshold in enumerate(thresholds):
            dice[row, own], iou[row, own] = overlap(found >= threshold, truths)
        start += len(found)
    return Overlaps(dice, iou)


def best_threshold(dice: Values) -> float:
    """The one of `THRESHOLDS` with the highest mean Dice; among equals the one nearest to 0.5.

    Args:
        dice: (T, N), of validation images at `THRESHOLDS`.
    """
    means = dice.mean(axis=1)
    equals = [threshold for threshold, mean in zip(THRESHOLDS, means, strict=True) if mean >= means.max() - 1e-12]
    return min(equals, key=lambda threshold: abs(threshold - 0.5))
