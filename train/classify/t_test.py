"""Whether the folds' results differ from a value that others report (paper, section 5.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

METRICS = ("accuracy", "precision", "recall", "f1", "auc")


@dataclass(frozen=True)
class TTest:
    """A two-sided one-sample t-test.

    Folds share most of their training images and all of their test images, so they are not independent: p is too
    small, for the paper as for us.
    """

    reference: float
    mean: float
    df: int
    t: float | None
    """(mean - reference) / (sd / √n); None where all values are equal, which leaves it undefined."""
    p: float | None
    """The probability of a t at least as far from 0 where the true mean is the reference; None likewise."""


def one_sample_t_test(values: Sequence[float], reference: float) -> TTest:
    """Test the mean of `values`, at least two, against `reference`.

    Raises:
        InputError: where there are fewer than two values.
        MissingExtraError: where scipy is not installed.
    """
    if len(values) < 2:
        raise InputError(f"a t-test needs at least 2 folds, found {len(values)}: raise --folds or drop --reference")
    mean, df = math.fsum(values) / len(values), len(values) - 1
    if max(values) == min(values):
        return TTest(reference, mean, df, None, None)
    require("train", "scipy")
    from scipy.stats import ttest_1samp

    found = ttest_1samp(values, reference, alternative="two-sided")
    return TTest(reference, mean, df, float(found.statistic), float(found.pvalue))


def parse_references(typed: Sequence[str]) -> dict[str, float]:
    """``accuracy=0.897`` and the like as a dictionary.

    Raises:
        InputError: where one names no metric, or its value is no fraction between 0 and 1.
    """
    found: dict[str, float] = {}
    for text in typed:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name not in METRICS or not 0 <= value <= 1:
            raise InputError(
                f"'{text}' is no reference: give METRIC=FRACTION with one of {', '.join(METRICS)} and a value between "
                "0 and 1, for example accuracy=0.897"
            )
        found[name] = value
    return found
