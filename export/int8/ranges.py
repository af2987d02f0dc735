"""Ranges of activations, one for a tensor: asymmetric in unsigned 8 bits, or symmetric in signed ones.

Asymmetric ranges waste no step, and are what CPUs take. TensorRT takes symmetric ones alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .activations import TensorStatistics
from .canonical import Float

LEVELS = 255
_SYMMETRIC_LEVELS = 127
_PERCENTILES = {"percentile 99.9": 99.9, "percentile 99.99": 99.99, "percentile 99.999": 99.999}
METHODS = ("min-max", *_PERCENTILES, "least squares")
_SHRINK = np.linspace(0.3, 1.0, 29)
_ENOUGH = 200_000
"""Values on which a range of least squared error is looked for."""


@dataclass(frozen=True)
class Range:
    """Values from a smallest to a largest in 256 steps, of which 0 is one."""

    method: str
    """Of `METHODS`."""
    scale: float
    """Between two steps, a float32."""
    zero_point: int
    """The step of 0."""
    symmetric: bool = False
    """Whether the steps are signed, from -128 to 127, and 0 is step 0; else they are 0 to 255."""

    def rounded(self, values: Float) -> Float:
        """What an engine computes with in place of `values`."""
        least, most = (-_SYMMETRIC_LEVELS - 1, _SYMMETRIC_LEVELS) if self.symmetric else (0, LEVELS)
        steps = np.clip(np.rint(values / np.float32(self.scale)) + self.zero_point, least, most)
        rounded: Float = ((steps - self.zero_point) * np.float32(self.scale)).astype(np.float32)
        return rounded


def make_range(method: str, low: float, high: float, *, symmetric: bool = False) -> Range:
    """The range that holds `low`, `high` and 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max(-low, high) / _SYMMETRIC_LEVELS if symmetric else (high - low) / LEVELS))
    if not scale > float(np.finfo(np.float32).tiny):  # a tensor of zeros
        return Range(method, 1.0, 0, symmetric)
    if symmetric:
        return Range(method, scale, 0, symmetric)
    return Range(method, scale, int(np.clip(np.rint(-low / scale), 0, LEVELS)))


def candidate_ranges(
    tensor: TensorStatistics, methods: Sequence[str] = METHODS, *, symmetric: bool = False
) -> list[Range]:
    """The ranges to choose from.

    Args:
        tensor: what is known of it: its exact smallest and largest value, and a sample.
        methods: of `METHODS`: all values; the middle part of the sample, both ends cut alike; or the least squared
            error of the sample, both ends drawn in alike.
        symmetric: see `Range`.
    """
    low, high = float(tensor.low.min()), float(tensor.high.max())
    found = []
    for method in methods:
        if method == "min-max":
            found.append(make_range(method, low, high, symmetric=symmetric))
        elif method in _PERCENTILES:
            part = _PERCENTILES[method]
            ends = np.percentile(tensor.values, [100 - part, part])
            found.append(make_range(method, float(ends[0]), float(ends[1]), symmetric=symmetric))
        else:
            found.append(_least_squares(method, tensor.values, low, high, symmetric=symmetric))
    return found


def _least_squares(method: str, values: Float, low: float, high: float, *, symmetric: bool) -> Range:
    sample = values.ravel()
    sample = sample[:: max(1, len(sample) // _ENOUGH)]
    tried = [make_range(method, low * share, high * share, symmetric=symmetric) for share in _SHRINK]
    errors = [float(np.square(found.rounded(sample) - sample).sum(dtype=np.float64)) for found in tried]
    return tried[int(np.argmin(errors))]
