"""Who takes part in `radiodino.benchmarks.pretrain_step`: training steps behind one interface.

All have the same networks and first weights, batch and crops, and begin in the second epoch, from which on everything
learns (in the first, DINO freezes the head's last layer).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs
from radiodino.train.data.image_cache import ImageCache, open_cache
from radiodino.train.pretrain.plan import make_plan
from radiodino.train.pretrain.step_crops import make_step_crops

from .contest import COMPILED, OFFICIAL, OFFICIAL_ALONE, OURS, Job
from .official_style_data import official_style_batches
from .official_style_step import OfficialStyleStep
from .our_step import OurStep


class Contestant(Protocol):
    """A training step with its data path."""

    device: torch.device
    settling: int
    """Steps of a round before its clock starts."""
    period: int
    """The steps that are measured must be a multiple of this."""

    @property
    def loss(self) -> float:
        """Of the last step."""

    def start(self) -> None:
        """Open the data path."""

    def step(self) -> float:
        """Make one step.

        Returns:
            Seconds spent on waiting for data.
        """

    def stop(self) -> None:
        """Close the data path, so that nothing goes on while others are measured."""


class OfficialStepAlone:
    """The official-style step on the same crops again and again."""

    settling, period = 1, 1

    def __init__(self, job: Job) -> None:
        self.device = pick_device(job.accelerator)
        images = _images(job)
        per_epoch = len(images) // job.recipe.batch_size
        self._step = OfficialStyleStep(
            job.recipe,
            make_plan(job.recipe, per_epoch),
            per_epoch,
            self.device,
            precision=job.official_precision,
            fused_attention=job.fused_attention,
        )
        self._next = per_epoch
        pixels = torch.from_numpy(images.pixels[: job.recipe.batch_size].copy())
        self._crops = [crop for kind in make_step_crops(pixels, job.recipe, 0, 0, 1, self.device) for crop in kind]

    @property
    def loss(self) -> float:
        """See `Contestant`."""
        return self._step.loss

    def start(self) -> None:
        """See `Contestant`."""

    def step(self) -> float:
        """See `Contestant`."""
        self._learn(self._crops)
        return 0.0

    def stop(self) -> None:
        """See `Contestant`."""

    def _learn(self, crops: list[Tensor]) -> None:
        self._step(crops, self._next)
        self._next += 1


class OfficialEndToEnd(OfficialStepAlone):
    """The official-style step with its data path.

    Every worker makes whole batches, so batches may come in bursts of as many as there are workers: a round is measured
    over whole bursts, after one that fills the workers' queues as far as they stay filled.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.settling = max(2, job.workers)
        self.period = max(1, job.workers)
        self._job = job
        self._files = sorted(job.images.iterdir())
        self._batches: Iterator[list[Tensor]] = iter(())

    def start(self) -> None:
        """See `Contestant`."""
        recipe = self._job.recipe
        self._batches = official_style_batches(
            self._files, recipe.crops, recipe.batch_size, self._job.workers, self.device
        )

    def step(self) -> float:
        """See `Contestant`."""
        asked = time.perf_counter()
        crops = next(self._batches)
        waited = time.perf_counter() - asked
        self._learn(crops)
        return waited

    def stop(self) -> None:
        """See `Contestant`."""
        self._batches = iter(())


class Ours:
    """This package's step, with its data path."""

    settling, period = 1, 1

    def __init__(self, job: Job) -> None:
        self.device = pick_device(job.accelerator)
        images = _images(job)
        self._step = OurStep(job.recipe, images, self.device, first=len(images) // job.recipe.batch_size)

    @property
    def loss(self) -> float:
        """See `Contestant`."""
        return self._step.loss

    def start(self) -> None:
        """See `Contestant`."""

    def step(self) -> float:
        """See `Contestant`."""
        return self._step()

    def stop(self) -> None:
        """See `Contestant`."""


def _compiled(job: Job) -> Contestant:
    return Ours(replace(job, recipe=replace(job.recipe, compile=True)))


CONTESTANTS: dict[str, Callable[[Job], Contestant]] = {
    OFFICIAL: OfficialEndToEnd,
    OFFICIAL_ALONE: OfficialStepAlone,
    OURS: Ours,
    COMPILED: _compiled,
}
"""By the names of the rows."""


def pick_device(accelerator: str) -> torch.device:
    """The device that `accelerator` means: ``auto`` is CUDA where there is a device, else the CPU.

    Raises:
        InputError: where it is none of ``auto``, ``cpu`` and ``cuda``, or there is no CUDA device.
    """
    if accelerator not in ("auto", "cpu", "cuda"):
        raise InputError(f"accelerator must be auto, cpu or cuda, not '{accelerator}'")
    found = torch.cuda.is_available()
    if accelerator == "cuda" and not found:
        raise InputError("accelerator cuda was asked for and PyTorch finds no CUDA device: use --accelerator cpu")
    return torch.device("cuda" if found and accelerator != "cpu" else "cpu")


def _images(job: Job) -> ImageCache:
    return open_cache(list_inputs([job.images]), job.cache, job.recipe.cache_size)
