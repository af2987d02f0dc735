"""What learns in a run, one step at a time: networks, optimiser and schedules, a step in the order of execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from radiodino.runtime.errors import InputError

from ..data.image_cache import ImageCache
from ..ssl.ema import update_teacher
from ..ssl.parameter_groups import apply_schedules
from .methods import METHODS, Method
from .networks import build_networks
from .plan import make_plan
from .recipe import Recipe, as_document
from .sampler import Balance, seed_of, step_indices
from .step_crops import make_step_crops

_NOISE, _MASKS = 2, 3  # purposes of random numbers, beside the order of an epoch (0) and crops (1)


def steps_in_epoch(recipe: Recipe, images: ImageCache) -> int:
    """Whole batches of `images`.

    Raises:
        InputError: where there is none.
    """
    steps = len(images) // recipe.batch_size
    if not steps:
        raise InputError(f"{len(images)} images are fewer than one batch of {recipe.batch_size}: lower batch_size")
    return steps


class Training:
    """A run without its folder: no log, no checkpoints.

    Args:
        recipe: every number of it.
        images: at least one batch.
        fabric: a launched `lightning_fabric.Fabric`.

    Attributes:
        recipe: every number of the run.
        step: the next one; all that is random in it is a function of the seed and this number.
        loss: of the last one.
        waited: seconds spent so far on making crops.
        student: learns.
        teacher: follows it.
        method: see `Method`.
        plan: see `radiodino.train.pretrain.plan.Plan`; as many steps as it has are the whole run.
    """

    def __init__(self, recipe: Recipe, images: ImageCache, fabric: Any) -> None:
        self.steps_per_epoch = steps_in_epoch(recipe, images)
        self.plan = make_plan(recipe, self.steps_per_epoch)
        self.student, self.teacher = build_networks(recipe)
        self.teacher.to(fabric.device)
        self.method: Method = METHODS[recipe.method](recipe, fabric.device, fabric.global_rank, fabric.world_size)
        optimiser = torch.optim.AdamW(self.method.groups(self.student), lr=0.0, fused=True)
        self._wrapped, self._optimiser = fabric.setup(self.student, optimiser)
        self.recipe, self._images, self._fabric = recipe, images, fabric
        self._balance = Balance(images.sources, recipe.balance)
        self._order = torch.empty(0)
        self.step, self.loss, self.waited = 0, float("nan"), 0.0

    def learn(self, check: Callable[[float, int], None] = lambda _loss, _step: None) -> None:
        """Learn from the next batch.

        Args:
            check: is told loss and step before anything changes, and may end the run with an error.
        """
        recipe, plan, fabric, step = self.recipe, self.plan, self._fabric, self.step
        epoch, within = divmod(step, self.steps_per_epoch)
        if within == 0 or not len(self._order):
            self._order = self._balance.order(recipe.seed, epoch)
        apply_schedules(
            self._optimiser.param_groups,
            float(plan.rates[step]),
            float(plan.decays[step]),
            float(plan.last_layer_rates[step]),
        )

        asked = time.perf_counter()
        mine = step_indices(self._order, within, recipe.batch_size, fabric.global_rank, fabric.world_size)
        pixels = torch.from_numpy(self._images.pixels[mine.numpy()])
        if fabric.device.type == "cuda":  # copied while the card computes
            pixels = pixels.pin_memory()
        crops = make_step_crops(
            pixels,
            recipe,
            step,
            fabric.global_rank,
            fabric.world_size,
            fabric.device,
            recipe.crops_at(step / len(plan)),
        )
        self.waited += time.perf_counter() - asked

        torch.manual_seed(seed_of(recipe.seed, step, _NOISE, fabric.global_rank))  # stochastic depth
        with fabric.autocast():
            loss = self.method.loss(
                self._wrapped, self.teacher, crops, float(plan.temperatures[step]), seed_of(recipe.seed, step, _MASKS)
            )
        self.loss = float(loss.detach())
        check(self.loss, step)

        self._optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        self.method.clip(self.student, epoch)
        self._optimiser.step()

        update_teacher(self.student.parameters(), self.teacher.parameters(), float(plan.momenta[step]))
        self.method.update_centres()
        self.step += 1

    def state(self) -> dict[str, Any]:
        """All that a checkpoint holds."""
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self._optimiser.state_dict(),
            "centres": self.method.centres,
            "step": self.step,
            "recipe": as_document(self.recipe),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, exactly."""
        self.student.load_state_dict(state["student"], strict=True)
        self.teacher.load_state_dict(state["teacher"], strict=True)
        self._optimiser.load_state_dict(state["optimizer"])
        self.method.centres = state["centres"]
        self.step = int(state["step"])
        self._order = torch.empty(0)  # made anew, of the epoch of that step
