"""The steps of `radiodino.train.pretrain.loop.pretrain` one at a time, without its log and its checkpoints."""

from __future__ import annotations

import math
import time

import torch

from radiodino.runtime.errors import InputError
from radiodino.train.data.image_cache import ImageCache
from radiodino.train.pretrain.loop import _MASKS, _NOISE
from radiodino.train.pretrain.methods import METHODS, Method
from radiodino.train.pretrain.networks import build_networks
from radiodino.train.pretrain.plan import make_plan
from radiodino.train.pretrain.recipe import Recipe
from radiodino.train.pretrain.sampler import Balance, seed_of, step_indices
from radiodino.train.pretrain.step_crops import make_step_crops
from radiodino.train.ssl.ema import update_teacher
from radiodino.train.ssl.parameter_groups import apply_schedules


class OurStep:
    """One training step after another, with its data path, in one process.

    Args:
        recipe: of the run.
        images: what it learns from.
        device: where it computes.
        first: the step to begin with.

    Attributes:
        loss: of the last step.
        step: the next one.

    Raises:
        InputError: where the images are fewer than one batch.
    """

    def __init__(self, recipe: Recipe, images: ImageCache, device: torch.device, first: int = 0) -> None:
        from lightning_fabric import Fabric

        self.recipe, self.images, self.step = recipe, images, first
        self.steps_per_epoch = len(images) // recipe.batch_size
        if not self.steps_per_epoch:
            raise InputError(f"{len(images)} images are fewer than one batch of {recipe.batch_size}: add images")
        self.fabric = Fabric(accelerator=device.type, devices=1, precision=recipe.precision)  # type: ignore[arg-type]
        self.fabric.launch()
        self.balance = Balance(images.sources, recipe.balance)
        self.plan = make_plan(recipe, self.steps_per_epoch)
        self.student, self.teacher = build_networks(recipe)
        self.teacher.to(self.fabric.device)
        self.method: Method = METHODS[recipe.method](recipe, self.fabric.device)
        optimiser = torch.optim.AdamW(self.method.groups(self.student), lr=0.0, fused=True)
        self.wrapped, self.optimiser = self.fabric.setup(self.student, optimiser)
        self._order = torch.empty(0)
        self.loss = math.nan

    def __call__(self) -> float:
        """Learn from the next batch.

        Returns:
            Seconds spent on waiting for its crops.
        """
        recipe, plan, step, fabric = self.recipe, self.plan, self.step, self.fabric
        epoch, within = divmod(step, self.steps_per_epoch)
        if within == 0 or not len(self._order):
            self._order = self.balance.order(recipe.seed, epoch)
        apply_schedules(
            self.optimiser.param_groups,
            float(plan.rates[step]),
            float(plan.decays[step]),
            float(plan.last_layer_rates[step]),
        )

        asked = time.perf_counter()
        mine = step_indices(self._order, within, recipe.batch_size)
        pixels = torch.from_numpy(self.images.pixels[mine.numpy()])
        crops = make_step_crops(pixels, recipe, step, 0, 1, fabric.device, recipe.crops_at(step / len(plan)))
        waited = time.perf_counter() - asked

        torch.manual_seed(seed_of(recipe.seed, step, _NOISE, 0))
        with fabric.autocast():
            loss = self.method.loss(
                self.wrapped, self.teacher, crops, float(plan.temperatures[step]), seed_of(recipe.seed, step, _MASKS)
            )
        self.loss = float(loss.detach())

        self.optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        self.method.clip(self.student, epoch)
        self.optimiser.step()

        update_teacher(self.student.parameters(), self.teacher.parameters(), float(plan.momenta[step]))
        self.method.update_centres()
        self.step += 1
        return waited
