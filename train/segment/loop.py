"""The training of one segmentation head on a frozen backbone, in the order of execution."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError, WeightsError

from ..pretrain.collapse import TrainingError
from ..pretrain.sampler import epoch_order, seed_of
from ..schedule import learning_rates
from ..weights.read_checkpoint import read_checkpoint
from .dice_loss import segmentation_loss
from .examples import Examples
from .heads import Head
from .recipe import HeadRecipe, SegmentRecipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


_DROPOUT = 6  # a purpose of random numbers


@dataclass(frozen=True)
class Trained:
    """How a training ended; the head holds the weights of its best epoch."""

    epochs: int
    """How many were computed; fewer than the recipe's where validation stopped them."""
    best_epoch: int
    """From 1."""
    best_loss: float
    """On the validation images."""
    log: tuple[dict[str, float], ...]
    """Of each epoch: ``epoch`` (from 1), ``training_loss``, ``validation_loss``, ``seconds``."""


def train_head(
    head: Head,
    examples: Examples,
    recipe: SegmentRecipe,
    fabric: Fabric,
    checkpoint: Path,
    identity: dict[str, Any],
    *,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_after: int | None = None,
) -> Trained:
    """Train `head` in place and leave it, in evaluation mode, with the weights of the best epoch.

    On a CPU the same seed gives the same bits, and so does a training that was ended at any moment and resumed; on a
    GPU some gradients are summed in no fixed order.

    Args:
        head: on the CPU, with its initial weights.
        examples: training and validation batches.
        recipe: every number; that part of it which is the head's.
        fabric: device and precision.
        checkpoint: written after every epoch.
        identity: what a checkpoint must have been made with to be resumed, recipe included: plain types by name.
        resume: go on with the training in `checkpoint`, where there is one.
        progress: is told (steps done, steps in all).
        stop_after: end after this many epochs of this call, as an interrupt would.

    Raises:
        InputError: where the checkpoint is of another training.
        OutputError: where there is one and `resume` is not given, or it cannot be written.
        WeightsError: where it is damaged.
        TrainingError: the loss or the gradient is not finite.
        KeyboardInterrupt: on an interrupt, with what is kept.
    """
    before = begun(checkpoint, identity, resume=resume)
    own = recipe.of(head.kind)
    per_epoch = math.ceil(len(examples) / own.batch_size)
    rates = learning_rates(own, per_epoch)
    total = len(rates)

    plain = head.to(fabric.device)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.0, weight_decay=own.weight_decay)
    wrapped, optimiser = fabric.setup(plain, optimiser)

    state = _State(copy.deepcopy(plain.state_dict()))
    if before is not None:
        plain.load_state_dict(before["head"])
        optimiser.load_state_dict(before["optimizer"])
        state = _State(before["best"], before["best_epoch"], before["best_loss"], before["epoch"], before["log"])

    first = kept = state.epoch
    try:
        while state.epoch < own.epochs and state.epoch - state.best_epoch < own.patience:
            if stop_after is not None and state.epoch - first >= stop_after:
                break
            began, epoch = time.perf_counter(), state.epoch
            order = epoch_order(len(examples), recipe.seed, epoch).numpy()
            plain.train()
            summed = 0.0
            for within in range(per_epoch):
                step = epoch * per_epoch + within
                for group in optimiser.param_groups:
                    group["lr"] = float(rates[step])
                rows = order[within * own.batch_size : (within + 1) * own.batch_size]
                torch.manual_seed(seed_of(recipe.seed, step, _DROPOUT))
                optimiser.zero_grad(set_to_none=True)
                for part in _parts(rows, own.micro_batch):
                    batch = examples.training(part, epoch)
                    loss = _loss(wrapped(batch.tokens, batch.images), batch.masks, own) * (len(part) / len(rows))
                    summed += _finite(float(loss.detach()), "loss", step, head, recipe) * len(rows)
                    fabric.backward(loss)
                if own.clip:
                    norm = fabric.clip_gradients(wrapped, optimiser, max_norm=own.clip, error_if_nonfinite=False)
                    _finite(float(cast(Any, norm)), "gradient", step, head, recipe)
                optimiser.step()
                progress(step + 1, total)

            found = _finite(_validation_loss(plain, examples, own), "validation loss", step, head, recipe)
            state.epoch += 1
            if found < state.best_loss:
                state.best, state.best_epoch, state.best_loss = copy.deepcopy(plain.state_dict()), state.epoch, found
            state.log.append(
                {
                    "epoch": state.epoch,
                    "training_loss": summed / len(examples),
                    "validation_loss": found,
                    "seconds": round(time.perf_counter() - began, 3),
                }
            )
            _save(checkpoint, identity, state, plain, optimiser)
            kept = state.epoch
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted in epoch {kept + 1} of {own.epochs} of the {head.kind} head, the {kept} before it "
            f"are kept in {checkpoint.parent}: give the same command with --resume to go on"
        ) from None
    plain.load_state_dict(state.best)
    plain.eval()
    return Trained(state.epoch, state.best_epoch, state.best_loss, tuple(state.log))


def begun(checkpoint: Path, identity: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """What a training left in `checkpoint`, None where there is none.

    Args:
        checkpoint: see `train_head`.
        identity: likewise.
        resume: likewise.

    Raises:
        InputError: see `train_head`.
        OutputError: likewise.
        WeightsError: likewise.
    """
    if not checkpoint.exists():
        return None
    if not resume:
        raise OutputError(
            f"{checkpoint} holds a training already: add --resume to go on with it, or choose another --out"
        )
    content = read_checkpoint(checkpoint)
    before = content.get("identity")
    if not isinstance(before, dict):
        raise WeightsError(f"{checkpoint} holds no training to resume: choose another --out")
    for part in sorted({*before, *identity}):
        if before.get(part) != identity.get(part):
            raise InputError(
                f"the training in {checkpoint} was begun with another {part}: resume with the command it was begun "
                "with, or choose another --out"
            )
    return content


@dataclass
class _State:
    """How far a training is."""

    best: dict[str, Any]
    """The head's weights at the lowest validation loss."""
    best_epoch: int = 0
    best_loss: float = math.inf
    epoch: int = 0
    log: list[dict[str, float]] = field(default_factory=list)


def _parts(rows: NDArray[np.int64], micro_batch: int) -> list[NDArray[np.int64]]:
    size = micro_batch or len(rows)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _loss(logits: Tensor, masks: Tensor, recipe: HeadRecipe) -> Tensor:
    return segmentation_loss(logits, masks, smooth=recipe.smooth, cross_entropy=recipe.cross_entropy)


def _validation_loss(head: Head, examples: Examples, recipe: HeadRecipe) -> float:
    """The mean over the validation images, in float32."""
    head.eval()
    summed, count = 0.0, 0
    with torch.no_grad():
        for batch in examples.validation():
            loss = _loss(head(batch.tokens, batch.images), batch.masks, recipe)
            summed += float(loss) * len(batch.masks)
            count += len(batch.masks)
    return summed / count


def _finite(value: float, what: str, step: int, head: Head, recipe: SegmentRecipe) -> float:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} of the {head.kind} head is {value} at step {step}: lower {head.kind}.learning_rate "
            f"({recipe.of(head.kind).learning_rate:g})"
            + ("" if recipe.precision == "32-true" else " or set precision=32-true")
        )
    return value


def _save(path: Path, identity: dict[str, Any], state: _State, head: Head, optimiser: Any) -> None:
    content = {
        "identity": identity,
        "head": head.state_dict(),
        "optimizer": optimiser.state_dict(),
        "best": state.best,
        "best_epoch": state.best_epoch,
        "best_loss": state.best_loss,
        "epoch": state.epoch,
        "log": state.log,
    }
    with atomic_path(path, overwrite=True) as temporary:
        torch.save(content, temporary)
