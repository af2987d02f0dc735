"""Whether the machine was left alone while it was measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

NOISY_SHARE = 0.1
"""Of all processor time, used by others."""
NOISY_SPREAD = 0.15
"""Of the original's rounds."""


@dataclass(frozen=True)
class Noise:
    """What others used meanwhile."""

    seconds: float
    """That were watched."""
    others: float
    """Share of all cores' time that others used, 0..1, what a hypervisor withheld included."""
    stolen: float
    """Share that a hypervisor withheld."""


class NoiseMeter:
    """Adds up the processor time of others, over the rounds alone."""

    def __init__(self) -> None:
        self._seconds = self._busy = self._own = self._stolen = 0.0
        self._start: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def start(self) -> None:
        """A round begins."""
        self._start = _clock()

    def stop(self, own_seconds: float) -> None:
        """It ends, in which this program's processes used so much processor time."""
        now, busy, stolen = _clock()
        self._seconds += now - self._start[0]
        self._busy += busy - self._start[1]
        self._stolen += stolen - self._start[2]
        self._own += own_seconds

    def total(self) -> Noise:
        """Over all rounds."""
        capacity = max(self._seconds * (psutil.cpu_count() or 1), 1e-9)
        others = max(0.0, self._busy - self._own) / capacity
        return Noise(self._seconds, min(1.0, others), min(1.0, self._stolen / capacity))


def _clock() -> tuple[float, float, float]:
    """Now, and the processor time that was ever used and withheld."""
    times = psutil.cpu_times()
    # Guests are counted as user time too.
    names = [name for name in times._fields if name not in ("idle", "iowait", "guest", "guest_nice")]
    return time.perf_counter(), sum(getattr(times, name) for name in names), getattr(times, "steal", 0.0)


def remark(noise: Noise, original_spread: float) -> str | None:
    """What must be said of a machine that was not left alone; None where it was.

    Args:
        noise: what others used.
        original_spread: (largest − smallest) / median of the original's round medians.
    """
    said = []
    if noise.others > NOISY_SHARE:
        said.append(f"others used {noise.others:.0%} of its processor time")
    if original_spread > NOISY_SPREAD:
        said.append(f"the original's rounds differ by {original_spread:.0%}")
    if not said:
        return None
    return (
        f"the machine was noisy: {' and '.join(said)}; times are off, and ratios too, for engines suffer "
        "unequally: measure again when it is left alone"
    )
