"""Every schedule of a run, as one number per step, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ssl.schedules import (
    cosine_schedule,
    epoch_teacher_temperatures,
    frozen_start,
    iteration_cosine_schedule,
    iteration_teacher_temperatures,
)
from .recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """Float64 arrays (steps,)."""

    rates: NDArray[np.float64]
    last_layer_rates: NDArray[np.float64]
    """Of the heads' last layers: DINOv2 freezes them by a rate of 0, DINO by dropping their gradients."""
    decays: NDArray[np.float64]
    momenta: NDArray[np.float64]
    temperatures: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rates)


def make_plan(recipe: Recipe, steps_per_epoch: int) -> Plan:
    """The schedules of `recipe` for epochs of `steps_per_epoch` steps."""
    o, t, epochs = recipe.optimiser, recipe.teacher, recipe.epochs
    if recipe.method == "dino":
        rates = cosine_schedule(
            recipe.peak_learning_rate, o.minimum_learning_rate, epochs, steps_per_epoch, o.warmup_epochs
        )
        temperatures = epoch_teacher_temperatures(
            t.warmup_temperature, t.temperature, epochs, t.warmup_temperature_epochs
        )
        return Plan(
            rates,
            rates,
            cosine_schedule(o.weight_decay, o.final_weight_decay, epochs, steps_per_epoch),
            cosine_schedule(t.momentum, 1.0, epochs, steps_per_epoch),
            np.repeat(temperatures, steps_per_epoch),
        )
    steps = epochs * steps_per_epoch
    rates = iteration_cosine_schedule(
        recipe.peak_learning_rate, o.minimum_learning_rate, steps, min(o.warmup_epochs * steps_per_epoch, steps)
    )
    return Plan(
        rates,
        frozen_start(rates, min(o.freeze_last_layer_epochs * steps_per_epoch, steps)),
        iteration_cosine_schedule(o.weight_decay, o.final_weight_decay, steps),
        iteration_cosine_schedule(t.momentum, 1.0, steps),
        iteration_teacher_temperatures(
            t.warmup_temperature, t.temperature, steps, t.warmup_temperature_epochs * steps_per_epoch
        ),
    )
