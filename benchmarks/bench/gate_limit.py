"""How much slower than recorded is no longer chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

FEWEST_RUNS = 5
"""Fewer do not tell how far runs lie apart."""
FALSE_ALARMS = 0.01
"""Chance that one measurement of an unchanged program shows any of its rows as slower."""
FLOOR = 0.05
"""Least share of the speed that is tolerated: runs that were recorded one after the other do not show what differs from
one day, kernel or processor of the class to the next."""


def least_speed(recorded: Sequence[float], rows: int) -> float:
    """The least speed, as a ratio to the original's, that a further run of an unchanged program shows but by chance.

    The one-sided prediction limit of one further observation, of logarithms, for a ratio of times is skewed and its
    logarithm is not. With n recorded ratios, m and s the mean and the standard deviation (n − 1) of their logarithms,
    and t the quantile of Student's distribution with n − 1 degrees of freedom:

        limit = exp(m) · min(1 − FLOOR, exp(−t(1 − FALSE_ALARMS / rows) · s · √(1 + 1/n)))

    Dividing by the number of rows (Bonferroni) holds the chance over all rows together, however they move together, to
    `FALSE_ALARMS`. What is measured twice, and must be below the limit both times, is far rarer still.

    Args:
        recorded: ratios of unchanged runs, at least `FEWEST_RUNS`.
        rows: that are judged by the same measurement, this one included.
    """
    logarithms = np.log(np.asarray(recorded, np.float64))
    count = len(logarithms)
    width = _student(1 - FALSE_ALARMS / rows, count - 1) * float(logarithms.std(ddof=1)) * math.sqrt(1 + 1 / count)
    return math.exp(float(logarithms.mean())) * min(1 - FLOOR, math.exp(-width))


@lru_cache(maxsize=64)
def _student(share: float, freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(share, freedom))
