"""Ranges of activations: one for a tensor, asymmetric, in unsigned 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .activations import TensorStatistics
from .canonical import Float

LEVELS = 255
_PERCENTILES = {"percentile 99.9": 99.9, "percentile 99.99": 99.99, "percentile 99.999": 99.999}
METHODS = ("min-max", *_PERCENTILES, "least squares")
_SHRINK = np.linspace(0.3, 1.0, 29)
_ENOUGH = 200_000
"""Values on which a range of least squared error is looked for."""


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high` in 256 steps; 0 lies between them and is one of the steps."""

    method: str
    """Of `METHODS`."""
    scale: float
    """Between two steps, a float32."""
    zero_point: int
    """The step of 0."""

    def rounded(self, values: Float) -> Float:
        """What an engine computes with in place of `values`."""
        steps = np.clip(np.rint(values / np.float32(self.scale)) + self.zero_point, 0, LEVELS)
        rounded: Float = ((steps - self.zero_point) * np.float32(self.scale)).astype(np.float32)
        return rounded


def make_range(method: str, low: float, high: float) -> Range:
    """The range that holds `low`, `high` and 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / LEVELS))
    if not scale > float(np.finfo(np.float32).tiny):  # a tensor of zeros
        return Range(method, 1.0, 0)
    return Range(method, scale, int(np.clip(np.rint(-low / scale), 0, LEVELS)))


def candidate_ranges(tensor: TensorStatistics, methods: Sequence[str] = METHODS) -> list[Range]:
    """The ranges to choose from.

    Args:
        tensor: what is known of it: its exact smallest and largest value, and a sample.
        methods: of `METHODS`: all values; the middle part of the sample, both ends cut alike; or the least squared
            error of the sample, both ends drawn in alike.
    """
    low, high = float(tensor.low.min()), float(tensor.high.max())
    found = []
    for method in methods:
        if method == "min-max":
            found.append(make_range(method, low, high))
        elif method in _PERCENTILES:
            part = _PERCENTILES[method]
            ends = np.percentile(tensor.values, [100 - part, part])
            found.append(make_range(method, float(ends[0]), float(ends[1])))
        else:
            found.append(_least_squares(method, tensor.values, low, high))
    return found


def _least_squares(method: str, values: Float, low: float, high: float) -> Range:
    sample = values.ravel()
    sample = sample[:: max(1, len(sample) // _ENOUGH)]
    tried = [make_range(method, low * share, high * share) for share in _SHRINK]
    errors = [float(np.square(found.rounded(sample) - sample).sum(dtype=np.float64)) for found in tried]
    return tried[int(np.argmin(errors))]
