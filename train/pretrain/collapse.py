"""The alarm for a run that learns nothing: uniform outputs, one output for all, or numbers that are not finite."""

from __future__ import annotations

import math
from collections import deque

from radiodino.runtime.errors import RadioDinoError


class TrainingError(RadioDinoError):
    """Training cannot go on; the message says what was seen and what to change."""


class CollapseAlarm:
    """Watches the loss of a run.

    DINO collapses to uniform outputs, where the loss stays at ln(K), or to one prototype, where it falls to 0.

    Args:
        out_dim: K, the number of prototypes.
        patience: steps in a row that must look collapsed before the alarm; a run starts at ln(K), so it must be longer
            than the time that learning takes to set in.
    """

    def __init__(self, out_dim: int, patience: int) -> None:
        self.uniform = math.log(out_dim)
        self.recent: deque[float] = deque(maxlen=patience)

    def check(self, loss: float, step: int) -> None:
        """Raise where the loss of this and the steps before it means that the run is lost.

        Raises:
            TrainingError: with a diagnosis.
        """
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {step}: lower the learning rate, lengthen its warm-up, or choose "
                "precision=32-true; the last checkpoint is from before it"
            )
        self.recent.append(loss)
        if len(self.recent) < (self.recent.maxlen or 0):
            return
        if all(abs(value - self.uniform) < 1e-3 * self.uniform for value in self.recent):
            raise TrainingError(
                f"the loss has stayed at ln({math.exp(self.uniform):.0f}) = {self.uniform:.3f} for "
                f"{len(self.recent)} steps up to step {step}, so all outputs are uniform: lower the teacher's "
                "temperature or the learning rate"
            )
        if all(value < 1e-3 * self.uniform for value in self.recent):
            raise TrainingError(
                f"the loss has stayed near 0 for {len(self.recent)} steps up to step {step}, so all images give one "
                "output: raise the teacher's temperature or its centre's momentum"
            )
