"""The learning rate of each step: low and constant while the head finds its place, then half a cosine."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .ssl.schedules import Schedule, iteration_cosine_schedule


class Rates(Protocol):
    """What a recipe says of its learning rates."""

    @property
    def epochs(self) -> int:
        """In all."""

    @property
    def warmup_epochs(self) -> int:
        """At most `epochs`."""

    @property
    def warmup_learning_rate(self) -> float:
        """Constant over the warm-up."""

    @property
    def learning_rate(self) -> float:
        """After the warm-up."""

    @property
    def minimum_learning_rate(self) -> float:
        """Where the cosine would arrive one step after the last."""


def learning_rates(recipe: Rates, steps_per_epoch: int) -> Schedule:
    """Learning rates (epochs · steps_per_epoch,), float64 (paper, section 4.1).

    With w warm-up steps of S in all, step s has the warm-up's rate where s < w, else
    minimum + (rate - minimum) · (1 + cos(π · (s - w) / (S - w))) / 2.

    Args:
        recipe: has the rates and epochs.
        steps_per_epoch: at least 1.
    """
    warm = recipe.warmup_epochs * steps_per_epoch
    rest = recipe.epochs * steps_per_epoch - warm
    flat = np.full(warm, recipe.warmup_learning_rate)
    if not rest:
        return flat
    cosine = iteration_cosine_schedule(recipe.learning_rate, recipe.minimum_learning_rate, rest)
    return np.concatenate([flat, cosine])
