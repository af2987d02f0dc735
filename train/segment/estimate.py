"""What a training will take, measured on a small part of it: said before it begins."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from radiodino.runtime.errors import InputError
from radiodino.runtime.machine import this_machine

from .dice_loss import segmentation_loss
from .heads import Head
from .recipe import HeadRecipe, SegmentRecipe
from .tokens import patch_tokens

if TYPE_CHECKING:
    from lightning_fabric import Fabric


_PLENTY = 10**10  # multiply-adds, a second or so on one core in training


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes."""

    backbone_seconds: float
    """For one image."""
    forward_seconds: float
    """For the head and one image."""
    step_seconds: float
    """For the head, forwards and backwards, and one image."""
    activation_bytes: int
    """What the head keeps for its gradient, for one image."""

    def training_seconds(self, recipe: SegmentRecipe, head: str, train: int, val: int) -> float:
        """Of all epochs with `train` training and `val` validation images, and of the backbone's passes."""
        epochs, views = recipe.of(head).epochs, recipe.views.count
        passes = train * (views or epochs) + val * (1 if views else epochs)
        epoch = train * self.step_seconds + val * self.forward_seconds
        return passes * self.backbone_seconds + epochs * epoch

    def memory_bytes(self, recipe: HeadRecipe, train: int) -> int:
        """Of the activations of one pass; gradients on the way take about a tenth more."""
        return int(1.1 * self.activation_bytes * min(recipe.micro_batch or recipe.batch_size, train))


def measure(backbone: nn.Module, head: Head, fabric: Fabric, image_size: int) -> Estimate:
    """Run one image through the backbone, and a part of it through a copy of the head, and scale by the area.

    Args:
        backbone: on `fabric`'s device.
        head: anywhere.
        fabric: device and precision of the training.
        image_size: side in pixels.
    """
    device = fabric.device
    size, patch = image_size, head.patch
    grid = size // patch
    if head.macs(size) > _PLENTY:  # a quarter of the area is large enough to be measured
        grid = max(2, math.ceil(grid / 2))
    share = (grid * patch / size) ** 2
    trial = copy.deepcopy(head).to(device).train()
    images = torch.zeros(1, 3, size, size, device=device)
    part = images[..., : grid * patch, : grid * patch]

    with torch.no_grad():
        tokens = patch_tokens(backbone, images)
        backbone_seconds = _seconds(lambda: patch_tokens(backbone, images), device)
        few = tokens[:, : grid * grid]
        trial.eval()
        forward_seconds = _seconds(lambda: trial(few, part), device) / share
    trial.train()
    with fabric.autocast():
        step_seconds = _seconds(lambda: _step(trial, few, part), device) / share
        kept = _kept_bytes(trial, few, part) / share
    return Estimate(backbone_seconds, forward_seconds, step_seconds, int(kept))


def refuse_too_large(needed: int, head: str, recipe: HeadRecipe, device: torch.device) -> None:
    """See that a pass fits in the memory of the machine, or of its accelerator, where that is known.

    Args:
        needed: see `Estimate.memory_bytes`.
        head: its name.
        recipe: of its training.
        device: where it will run.

    Raises:
        InputError: where it does not, with a micro-batch that would.
    """
    if device.type == "cuda":
        there: float | None = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = this_machine().memory_gib
        there = None if memory is None else memory * 2**30
    if there is None or needed <= there:
        return
    fitting = max(1, int(there / 2 / needed * (recipe.micro_batch or recipe.batch_size)))
    raise InputError(
        f"a pass of the {head} head needs about {needed / 2**30:.0f} GiB of memory and there are "
        f"{there / 2**30:.0f}: add --set {head}.micro_batch={fitting}, which splits a batch into passes (batch "
        "norm then sees each by itself)"
    )


def duration(seconds: float) -> str:
    """A duration as a person says it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _step(head: Head, tokens: Tensor, images: Tensor) -> None:
    logits = head(tokens, images)
    segmentation_loss(logits, torch.zeros_like(logits)).backward()  # type: ignore[no-untyped-call]


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Of the second of two runs: the first one allocates and compiles."""
    for _ in range(2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _kept_bytes(head: Head, tokens: Tensor, images: Tensor) -> int:
    """Bytes of the tensors that a forward pass keeps for the backward pass, each storage once, weights left out."""
    own = {parameter.untyped_storage().data_ptr() for parameter in head.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # or its address would be given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        head(tokens, images)
    return sum(kept.values())
