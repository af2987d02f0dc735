"""From the rounds of all contestants to one row each."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .contestant_process import Sample


@dataclass(frozen=True)
class Row:
    """What is printed about one contestant."""

    images_per_second: float
    """Median over the rounds."""
    slowest: float
    """Images per second of the slowest round."""
    fastest: float
    ratios: tuple[float, ...]
    """This median over that of each reference."""
    waiting: float
    """Median share of a round's time spent on waiting for data, 0 to 1."""
    peak_mib: float | None


def summarise(samples: Mapping[str, Sequence[Sample]], references: Sequence[str]) -> dict[str, Row]:
    """Medians, spread and ratios.

    Args:
        samples: at least one round of each contestant, by name.
        references: names of those that all are compared with.
    """
    rates = {name: [sample.images / sample.seconds for sample in rounds] for name, rounds in samples.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    rows = {}
    for name, rounds in samples.items():
        peaks = [sample.peak_mib for sample in rounds if sample.peak_mib is not None]
        rows[name] = Row(
            medians[name],
            min(rates[name]),
            max(rates[name]),
            tuple(medians[name] / medians[reference] for reference in references),
            statistics.median(sample.waited / sample.seconds for sample in rounds),
            max(peaks, default=None),
        )
    return rows
