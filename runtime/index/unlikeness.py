"""Which images are unlike all that an index holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..blank import BLANK
from .calibration import LEAST, Calibration
from .nearest import Neighbours


@dataclass(frozen=True)
class Unlikeness:
    """The distance of each query from the index, and whether that is unusual."""

    distances: NDArray[np.float64]
    """(Q,), 0 to 2; see `radiodino.runtime.index.calibration`."""
    beyond: NDArray[np.bool_]
    """(Q,): whether it is larger than the threshold; False where there is none."""
    calibration: Calibration | None
    """None where the index holds too few images to say."""

    def sentence(self, row: int, *, is_blank: bool) -> str | None:
        """What must be said of query `row`, None where it is like the indexed images as far as this tells.

        Args:
            row: of the query.
            is_blank: whether all its pixels are equal, which its distance may not show.
        """
        said = [self._distance_sentence(row), BLANK if is_blank else None]
        return "; ".join(filter(None, said)) or None

    def _distance_sentence(self, row: int) -> str | None:
        if self.calibration is None:
            return (
                f"whether the image is unlike the indexed images cannot be said: that takes an index of {LEAST} or more"
            )
        if not self.beyond[row]:
            return None
        return (
            f"unlike the indexed images: distance {self.distances[row]:.4f} beyond the "
            f"{ordinal(self.calibration.percentile)} percentile {self.calibration.threshold:.4f} of their own"
        )


def measure(found: Neighbours, calibration: Calibration | None) -> Unlikeness:
    """The distances of queries by their nearest neighbours.

    Args:
        found: at least as many neighbours as the calibration takes, or at least 1 where there is none.
        calibration: of the index, None where there is none.
    """
    neighbours = calibration.neighbours if calibration else 1
    distances = 1 - found.similarities[:, :neighbours].mean(axis=1)
    beyond = distances > calibration.threshold if calibration else np.zeros(len(distances), np.bool_)
    return Unlikeness(distances, beyond, calibration)


def ordinal(percentile: float) -> str:
    """``99th``, ``99.5th``, ``91st``."""
    text = f"{percentile:g}"
    ending = {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return text + ("th" if "." in text or text in ("11", "12", "13") else ending)
