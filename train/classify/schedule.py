"""The learning rate of each step: low and constant while the head finds its place, then half a cosine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ssl.schedules import iteration_cosine_schedule
from .recipe import Recipe


def learning_rates(recipe: Recipe, steps_per_epoch: int) -> NDArray[np.float64]:
    """Learning rates (epochs · steps_per_epoch,), float64 (paper, section 4.1).

    With w warm-up steps of S in all, step s has the warm-up's rate where s < w, else
    minimum + (rate - minimum) · (1 + cos(π · (s - w) / (S - w))) / 2.

    Args:
        recipe: has the rates and epochs.
        steps_per_epoch: at least 1.
    """
    warm = recipe.warmup_epochs * steps_per_epoch
    total = recipe.epochs * steps_per_epoch
    cosine = iteration_cosine_schedule(recipe.learning_rate, recipe.minimum_learning_rate, total - warm)
    return np.concatenate([np.full(warm, recipe.warmup_learning_rate), cosine])
