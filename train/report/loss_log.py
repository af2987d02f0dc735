"""The log of a pretraining run (`radiodino.train.pretrain.run_folder`), which may still be written while it is read."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from radiodino.runtime.errors import InputError

_NEEDED = ("step", "epoch", "loss", "images_per_second")


@dataclass(frozen=True)
class LossLog:
    """One row per step."""

    steps: tuple[int, ...]
    """From 0, rising."""
    epochs: tuple[int, ...]
    """From 0."""
    losses: tuple[float, ...]
    images_per_second: float
    """Over the last start of the run, as its last step says."""
    is_cut: bool
    """Whether the last line was incomplete and was left out."""


def read_loss_log(path: Path) -> LossLog:
    """The log at `path`.

    Raises:
        InputError: where it cannot be read, a column is missing, a value is no number, or there is no step yet.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    whole, newline, rest = text.rpartition("\n")  # a run that goes on may be writing the last line
    columns, *rows = list(csv.reader((whole + newline).splitlines())) or [[]]
    for name in _NEEDED:
        if name not in columns:
            raise InputError(f"{path} has no column '{name}': expected the log of radiodino-train pretrain")
    places = [columns.index(name) for name in _NEEDED]
    found: list[tuple[int, int, float, float]] = []
    for number, row in enumerate(rows, 2):
        try:
            step, epoch, loss, speed = (float(row[place]) for place in places)
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, line {number}, is not whole: expected numbers under {', '.join(_NEEDED)}"
            ) from None
        if not math.isfinite(loss) or not step.is_integer() or not epoch.is_integer():
            raise InputError(f"{path}, line {number}, holds no step with a finite loss: it is damaged")
        if found and step <= found[-1][0]:
            raise InputError(f"{path}, line {number}, goes back to step {step:g}: it is damaged")
        found.append((int(step), int(epoch), loss, speed))
    if not found:
        raise InputError(f"{path} holds no step yet: report on the run later, or leave its folder out")
    steps, epochs, losses, speeds = zip(*found, strict=True)
    return LossLog(steps, epochs, losses, speeds[-1], bool(rest))
