"""The operating point of a classifier of two classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def youden_threshold(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden's J); at or above it an image is positive.

    It lies half-way between the lowest score that is called positive and the next lower one, or 0 where there is none.
    Of several thresholds with the same J the highest is taken.

    Args:
        scores: (N,), 0..1, the probability of the positive class.
        positive: (N,), which images are; at least one is and one is not.
    """
    levels, level_of = np.unique(scores, return_inverse=True)
    positives = np.bincount(level_of[positive], minlength=len(levels))
    negatives = np.bincount(level_of[~positive], minlength=len(levels))
    # From the highest level down: how many are called positive there, J over a common denominator, exactly.
    called_right, called_wrong = np.cumsum(positives[::-1]), np.cumsum(negatives[::-1])
    best = len(levels) - 1 - int(np.argmax(called_right * called_wrong[-1] - called_wrong * called_right[-1]))
    lower = levels[best - 1] if best else 0.0
    return float((levels[best] + lower) / 2)
