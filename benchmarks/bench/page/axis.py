"""Where a number stands along an axis, and which numbers are written beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0, 10.0)
_FACTORS = ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
_MANY = 7
"""More ticks than these do not fit on a phone."""
_MARGIN = 0.08


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, evenly or by factors."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Of the way from `low` to `high`, 0..1 for what lies between them."""
        low, high, at = (math.log(one) if self.is_log else one for one in (self.low, self.high, value))
        return (at - low) / (high - low)


def from_zero(label: str, values: Sequence[float]) -> Axis:
    """For lengths: from zero to a round number that no value exceeds."""
    high = max(values, default=0.0) or 1.0
    step = _round_step(high / 4)
    ticks = _multiples(0.0, step * math.ceil(high / step - 1e-9), step)
    return Axis(label, 0.0, ticks[-1], ticks)


def around(label: str, values: Sequence[float], least: float, bounds: tuple[float, float]) -> Axis:
    """For places: round numbers around all values, at least `least` apart, so that little does not look like much.

    Args:
        label: what the numbers are.
        values: at least one.
        least: by which `high` exceeds `low`.
        bounds: that are not left.
    """
    low, high = min(values), max(values)
    wide = max((high - low) * (1 + 2 * _MARGIN), least)
    step = _round_step(wide / 4)
    middle = (low + high) / 2
    low, high = max(bounds[0], middle - wide / 2), min(bounds[1], middle + wide / 2)
    ticks = _multiples(step * math.floor(low / step), step * math.ceil(high / step), step)
    return Axis(label, ticks[0], ticks[-1], ticks)


def by_factors(label: str, values: Sequence[float], ticks: Sequence[float] = ()) -> Axis:
    """Where twice as much is as far everywhere.

    Args:
        label: what the numbers are.
        values: above zero, at least one.
        ticks: None given takes round numbers, two at least.
    """
    shown = (*values, *ticks)
    low, high = min(shown), max(shown)
    if high / low < 2:  # at least a factor of 2, so that little does not look like much
        low, high = (math.sqrt(low * high) * factor for factor in (math.sqrt(0.5), math.sqrt(2)))
    space = (high / low) ** _MARGIN
    low, high = low / space, high * space
    while not ticks:
        round_ones = _round_factors(low, high)
        if len(round_ones) > 1:
            ticks = round_ones
        else:
            low, high = low / 1.1, high * 1.1
    return Axis(label, low, high, tuple(ticks), is_log=True)


def _round_step(least: float) -> float:
    ten = 10.0 ** math.floor(math.log10(least))
    return next(step * ten for step in _STEPS if step * ten >= least * 0.999)


def _multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    count = int((high - low) / step + 1e-6)
    return tuple(round(low + number * step, 10) for number in range(count + 1))


def _round_factors(low: float, high: float) -> tuple[float, ...]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _FACTORS:
        found = tuple(step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high)
        if len(found) <= _MANY:
            return found
    return found[:: math.ceil(len(found) / _MANY)]
