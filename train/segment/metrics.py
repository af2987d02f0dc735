"""Dice and intersection over union of masks, image by image (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Values = NDArray[np.float64]

EMPTY_CONVENTION = "where mask and prediction are both empty, Dice and IoU count as 1; where one of them is, as 0"


def overlap(predictions: Tensor, truths: Tensor) -> tuple[Values, Values]:
    """Dice 2 |A ∩ B| / (|A| + |B|) and IoU |A ∩ B| / |A ∪ B| of each image.

    Args:
        predictions: (N, H, W), bool.
        truths: likewise.

    Returns:
        (N,) and (N,), float64, in 0..1; 1 where both masks are empty.
    """
    sizes = [
        part.flatten(1).sum(dim=1, dtype=torch.int64).cpu().numpy().astype(np.float64)
        for part in (predictions & truths, predictions, truths)
    ]
    both, total = sizes[0], sizes[1] + sizes[2]
    with np.errstate(invalid="ignore"):
        dice = np.where(total > 0, 2 * both / total, 1.0)
        iou = np.where(total > 0, both / (total - both), 1.0)
    return dice, iou


def summary(dice: Values, iou: Values, lesions: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, Any]:
    """Means over all images, over those with a lesion alone, over those without, and by class.

    Images without a lesion score 1 or 0 (`EMPTY_CONVENTION`), which lifts or sinks the mean over all by their share in
    the set; the mean over lesion images is the one to compare with the literature.

    Args:
        dice: (N,).
        iou: (N,).
        lesions: (N,): whether the true mask holds anything.
        labels: of each image; images without one are in no class.

    Returns:
        ``all``, ``lesions``, ``no_lesion`` and ``by_class``, each group as ``images``, ``dice`` and ``iou`` (0..1; None
        where it holds no image). The Dice of ``no_lesion`` is the share of its images that were predicted empty.
    """
    classes = np.array(labels)
    return {
        "all": _means(dice, iou, np.ones(len(dice), bool)),
        "lesions": _means(dice, iou, lesions),
        "no_lesion": _means(dice, iou, ~lesions),
        "by_class": {name: _means(dice, iou, classes == name) for name in sorted(set(labels) - {""})},
    }


def _means(dice: Values, iou: Values, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    count = int(chosen.sum())
    return {
        "images": count,
        "dice": float(dice[chosen].mean()) if count else None,
        "iou": float(iou[chosen].mean()) if count else None,
    }
