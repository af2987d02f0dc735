"""Runs, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

WINDOW = 5
"""Runs that are compared with as many before them."""
STABLE = 0.05
"""Warm is what differs by no more than this share from one window to the next."""


def timed_runs(run: Callable[[], object], seconds: float, fewest: int) -> list[float]:
    """Seconds of each run: at least `fewest`, and as many as begin within `seconds`."""
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < fewest or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def warm_up(run: Callable[[], object], most_seconds: float) -> tuple[list[float], bool]:
    """Run until the median of the last `WINDOW` runs is that of those before them, or `most_seconds` have passed.

    Returns:
        Seconds of each run, and whether it became stable.
    """
    found: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < most_seconds:
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
        if len(found) >= 2 * WINDOW:
            before, last = (statistics.median(part) for part in (found[-2 * WINDOW : -WINDOW], found[-WINDOW:]))
            if abs(last - before) <= STABLE * before:
                return found, True
    return found, False
