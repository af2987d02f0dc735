"""From raw samples to the numbers of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
"""Of rounds, for a bootstrap interval."""
CONFIDENCE = 0.95
"""Of such an interval."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Of one run over a batch, in milliseconds, over all runs of all rounds."""

    p50: float
    p95: float
    p99: float
    spread: float
    """Interquartile range as a share of p50."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times less time than another: above 1 is faster."""

    value: float
    """Median over the rounds of (median run of the other / median run)."""
    low: float
    """Of the bootstrap interval of that median, `CONFIDENCE`."""
    high: float


def latency(seconds: Sequence[Sequence[float]]) -> Latency:
    """Of the runs of each round."""
    runs = 1000 * np.concatenate([np.asarray(one, np.float64) for one in seconds])
    low, p50, high, p95, p99 = np.percentile(runs, (25, 50, 75, 95, 99))
    return Latency(p50=float(p50), p95=float(p95), p99=float(p99), spread=float((high - low) / p50))


def ratio(reference: Sequence[float], medians: Sequence[float]) -> Ratio:
    """Of the medians of the same rounds.

    Args:
        reference: seconds, of the one that is compared with.
        medians: seconds, as many.
    """
    each = np.asarray(reference, np.float64) / np.asarray(medians, np.float64)
    drawn = np.random.default_rng(0).choice(each, (DRAWS, len(each)))
    low, high = np.percentile(np.median(drawn, axis=1), (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    return Ratio(value=float(np.median(each)), low=float(low), high=float(high))


def spread_of(medians: Sequence[float]) -> float:
    """(largest − smallest) / median."""
    return float((max(medians) - min(medians)) / np.median(medians))
