"""The length of a scale bar: round, and at most a given part of a picture's width."""

from __future__ import annotations

import math


def round_length(longest: float) -> float:
    """The greatest of 1, 2 and 5 times a power of ten that is no longer than `longest` (above 0)."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (0.5, 1, 2, 5) if step * power <= longest)


def length_text(millimetres: float) -> str:
    """A length in mm, or in cm from 10 mm on."""
    return f"{millimetres / 10:g} cm" if millimetres >= 10 else f"{millimetres:g} mm"
