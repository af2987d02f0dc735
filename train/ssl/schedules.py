"""What changes during training, as plain arrays computed once: one value per iteration or per epoch.

An array does not depend on how training went, so a resumed run reads on where it stopped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

Schedule = NDArray[np.float64]


def cosine_schedule(
    base: float,
    final: float,
    epochs: int,
    steps_per_epoch: int,
    warmup_epochs: int = 0,
    start_warmup: float = 0.0,
) -> Schedule:
    """DINO's schedule of learning rate, weight decay and teacher momentum, per iteration.

    A straight line from `start_warmup` to `base`, both included, over the warm-up, then half a cosine that starts at
    `base` (which therefore occurs twice) and would reach `final` one iteration after the last. Official settings:
    learning rate 5e-4 · batch / 256 to 1e-6 with 10 epochs of warm-up from 0; weight decay 0.04 to 0.4; momentum
    0.996 to 1.

    Args:
        base: value after the warm-up.
        final: value that the cosine approaches, above or below `base`.
        epochs: at least 1.
        steps_per_epoch: iterations per epoch, at least 1.
        warmup_epochs: from 0 to `epochs`.
        start_warmup: first value of the warm-up.

    Returns:
        (epochs · steps_per_epoch,), float64.

    Raises:
        InputError: where a number of epochs or steps is out of range.
    """
    _at_least("epochs", epochs, 1)
    _at_least("steps_per_epoch", steps_per_epoch, 1)
    _within("warmup_epochs", warmup_epochs, "epochs", epochs)
    return iteration_cosine_schedule(
        base, final, epochs * steps_per_epoch, warmup_epochs * steps_per_epoch, start_warmup
    )


def iteration_cosine_schedule(
    base: float,
    final: float,
    iterations: int,
    warmup_iterations: int = 0,
    start_warmup: float = 0.0,
    frozen_iterations: int = 0,
) -> Schedule:
    """DINOv2's schedule, counted in iterations: zeros, then a straight line, then half a cosine.

    Official settings: learning rate 0.004 · √(batch / 1024) to 1e-6 with a warm-up from 0 over 10 epochs of 1250
    iterations; weight decay 0.04 to 0.4; momentum 0.992 to 1. The official object answers `final` for any iteration
    beyond its end; an array has none.

    Args:
        base: value after the warm-up.
        final: value that the cosine would reach one iteration after the last.
        iterations: length of the schedule, at least 1.
        warmup_iterations: length of the line from `start_warmup` to `base`, both included.
        start_warmup: first value of the line.
        frozen_iterations: zeros before the line.

    Returns:
        (iterations,), float64.

    Raises:
        InputError: where a number of iterations is out of range.
    """
    _at_least("iterations", iterations, 1)
    _at_least("warmup_iterations", warmup_iterations, 0)
    _at_least("frozen_iterations", frozen_iterations, 0)
    _within("warmup_iterations + frozen_iterations", warmup_iterations + frozen_iterations, "iterations", iterations)
    cosine_iterations = iterations - warmup_iterations - frozen_iterations
    phase = np.arange(cosine_iterations) / max(cosine_iterations, 1)
    return np.concatenate(
        [
            np.zeros(frozen_iterations),
            np.linspace(start_warmup, base, warmup_iterations),
            final + 0.5 * (base - final) * (1 + np.cos(np.pi * phase)),
        ]
    )


def epoch_teacher_temperatures(start: float, final: float, epochs: int, warmup_epochs: int = 0) -> Schedule:
    """DINO's teacher temperature per epoch: a straight line from `start` to `final`, both included, then flat.

    Official settings: flat at 0.04 (no warm-up, so `start` is not used), or 0.04 to 0.07 over 30 epochs.

    Args:
        start: first value of the warm-up, above 0.
        final: last value of the warm-up and every later one, above 0.
        epochs: at least 1.
        warmup_epochs: from 0 to `epochs`; 1 is one epoch at `start`.

    Returns:
        (epochs,), float64.

    Raises:
        InputError: where a temperature or a number of epochs is out of range.
    """
    _at_least("epochs", epochs, 1)
    _within("warmup_epochs of the teacher temperature", warmup_epochs, "epochs", epochs)
    return _line_then_flat(start, final, epochs, warmup_epochs)


def iteration_teacher_temperatures(start: float, final: float, iterations: int, warmup_iterations: int) -> Schedule:
    """DINOv2's teacher temperature per iteration: a straight line from `start` to `final`, then flat.

    Official settings: 0.04 to 0.07 over 30 epochs of 1250 iterations. A run shorter than the warm-up ends on the
    way, as in the official code.

    Args:
        start: first value of the warm-up, above 0.
        final: last value of the warm-up and every later one, above 0.
        iterations: length of the run, at least 1.
        warmup_iterations: length of the warm-up, at least 0.

    Returns:
        (iterations,), float64.

    Raises:
        InputError: where a temperature or a number of iterations is out of range.
    """
    _at_least("iterations", iterations, 1)
    _at_least("warmup_iterations", warmup_iterations, 0)
    return _line_then_flat(start, final, max(iterations, warmup_iterations), warmup_iterations)[:iterations]


def frozen_start(schedule: Schedule, iterations: int) -> Schedule:
    """`schedule` with zeros in its first iterations: DINOv2's learning rate of the heads' last layers.

    Only that: the values after the zeros stay where they were. Official setting: the first epoch, 1250 iterations.

    Args:
        schedule: (n,), one value per iteration; it is left as it is.
        iterations: how many to set to 0, from 0; beyond n, all.

    Returns:
        (n,), float64, a new array.

    Raises:
        InputError: where the number is negative.
    """
    _at_least("iterations", iterations, 0)
    frozen = np.array(schedule, dtype=np.float64)
    frozen[:iterations] = 0
    return frozen


def _line_then_flat(start: float, final: float, total: int, warmup: int) -> Schedule:
    for temperature in (start, final):
        if not temperature > 0:
            raise InputError(f"a teacher temperature must be above 0, found {temperature}")
    return np.concatenate([np.linspace(start, final, warmup), np.full(total - warmup, final, dtype=np.float64)])


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"a schedule needs {name} of at least {least}, found {value}")


def _within(name: str, value: int, whole_name: str, whole: int) -> None:
    if not 0 <= value <= whole:
        raise InputError(f"a schedule needs {name} from 0 to {whole_name} ({whole}), found {value}: change one of them")
