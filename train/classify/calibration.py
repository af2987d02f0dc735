"""What turns logits into probabilities that mean what they say: one temperature, fitted to the validation images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.extras import require

BOUNDS = (0.05, 20.0)
"""A temperature beyond them says that the validation images cannot tell: all are right (towards 0) or nothing is."""


def best_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The temperature T at which softmax(logits / T) has the least negative log-likelihood (Guo et al. 2017).

    Args:
        logits: (N, C), floating point.
        targets: (N,), int64.

    Returns:
        Within `BOUNDS`.

    Raises:
        MissingExtraError: where scipy is not installed.
    """
    require("train", "scipy")
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        return log_loss(logits, targets, float(np.exp(log)))

    low, high = (float(np.log(bound)) for bound in BOUNDS)
    inside = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x
    return float(np.exp(min((inside, low, high), key=loss)))  # it never ends at a bound, only near


def probabilities(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.float64]:
    """softmax(logits / temperature), float64 (N, C), each row's sum being 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found


def log_loss(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64], temperature: float = 1.0) -> float:
    """The mean negative log-likelihood of softmax(logits / temperature), in float64.

    Args:
        logits: (N, C), finite.
        targets: (N,), int64.
        temperature: above 0.
    """
    scaled = logits.astype(np.float64) / temperature
    own = scaled[np.arange(len(targets)), targets]
    return float(np.logaddexp.reduce(scaled - own[:, None], axis=1).mean())
