"""The training of one fold, in the order of execution."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from radiodino.runtime.prefetch import prefetch

from ..pretrain.collapse import TrainingError
from ..pretrain.interrupt import Interrupt, deferred_interrupt
from ..pretrain.sampler import generator
from ..schedule import learning_rates
from .folds import Fold
from .history import History
from .inputs import Inputs
from .predict import WORKERS, predict
from .recipe import Recipe

_ORDER = 0  # a purpose of random numbers, see `inputs`


def train_one(
    fabric: Any,
    network: nn.Module,
    inputs: Inputs,
    targets: NDArray[np.int64],
    fold: Fold,
    number: int,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> History:
    """Train until the validation loss falls no more; goes on where an earlier call was interrupted.

    Args:
        fabric: a launched `lightning_fabric.Fabric`.
        network: from what `inputs` prepares to logits (B, C). All its parameters learn; it is moved to the fabric's
            device, and left evaluating with the weights of the best epoch.
        inputs: what it is fed.
        targets: (N,), the class of every image.
        fold: the images to train and to validate on.
        number: of the fold, which decides the order and the augmentation of its images.
        recipe: every number.
        folder: an existing one for the log and the state.
        progress: is told (steps done, steps at most).

    Raises:
        TrainingError: a loss is not finite.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: on an interrupt; the state after the last whole epoch was written.
    """
    steps = -(-len(fold.train) // recipe.batch_size)
    rates = learning_rates(recipe, steps)
    optimiser: Any = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    wrapped, optimiser = fabric.setup(network, optimiser)
    history = History.restored(folder, network, optimiser)
    classes = torch.from_numpy(targets)
    truth = classes[torch.from_numpy(fold.val)]

    with deferred_interrupt() as interrupt:
        while history.goes_on(recipe.epochs, recipe.patience):
            epoch = len(history.rows)
            began, waited, summed = time.perf_counter(), 0.0, torch.zeros((), device=fabric.device)
            network.train()

            # The epoch's batches, made ahead by threads.
            order = torch.randperm(len(fold.train), generator=generator(recipe.seed, number, epoch, _ORDER))
            shuffled = fold.train[order.numpy()]
            batches = [shuffled[step * recipe.batch_size : (step + 1) * recipe.batch_size] for step in range(steps)]
            mine = [_share(batch, fabric.global_rank, fabric.world_size) for batch in batches]
            make = _maker(inputs, number, epoch)
            with closing(prefetch([own for own, _ in mine], make, WORKERS, WORKERS + 1)) as made:
                for step, (batch, (own, weights)) in enumerate(zip(batches, mine, strict=True)):
                    asked = time.perf_counter()
                    prepared = inputs.prepare(next(made).to(fabric.device))
                    waited += time.perf_counter() - asked
                    for group in optimiser.param_groups:
                        group["lr"] = float(rates[epoch * steps + step])

                    logits = wrapped(prepared)
                    losses = cross_entropy(logits, classes[torch.from_numpy(own)].to(fabric.device), reduction="none")
                    loss = (losses * weights.to(fabric.device)).sum() / len(batch)

                    optimiser.zero_grad(set_to_none=True)
                    fabric.backward(loss * fabric.world_size)  # processes average their gradients
                    if recipe.clip:
                        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
                    optimiser.step()

                    summed += loss.detach() * len(batch)
                    progress(epoch * steps + step + 1, len(rates))
                    _end_if_asked(fabric, interrupt, number, epoch, folder)

            seconds = time.perf_counter() - began
            train_loss = float(_sum_over_processes(fabric, summed)) / len(fold.train)
            logits = torch.from_numpy(predict(fabric, network, inputs, fold.val, recipe.batch_size)).double()
            val_loss = float(cross_entropy(logits, truth))
            if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
                raise TrainingError(
                    f"the loss is {train_loss} in training and {val_loss} in validation in epoch {epoch + 1} of fold "
                    f"{number}: lower learning_rate, or choose precision=32-true; {folder} keeps the epochs before it"
                )
            row = {
                "epoch": epoch + 1,
                "learning_rate": float(rates[(epoch + 1) * steps - 1]),
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_accuracy": float((logits.argmax(dim=1) == truth).double().mean()),
                "images_per_second": len(fold.train) / seconds,
                "waiting_share": waited / seconds,
            }
            history.add(row, network)
            if fabric.is_global_zero:
                history.save(folder, network, optimiser)
            _end_if_asked(fabric, interrupt, number, epoch + 1, folder)

    network.load_state_dict(history.best, strict=True)
    network.eval()
    return history


def _maker(inputs: Inputs, number: int, epoch: int) -> Callable[[NDArray[np.int64]], Tensor]:
    return lambda indices: inputs.training(indices, number, epoch)


def _share(batch: NDArray[np.int64], rank: int, ranks: int) -> tuple[NDArray[np.int64], Tensor]:
    """The images of one process, as many as of any other, and what each counts: those that only fill up count 0."""
    each = -(-len(batch) // ranks)
    weights = torch.zeros(each * ranks)
    weights[: len(batch)] = 1
    return np.resize(batch, each * ranks)[rank::ranks], weights[rank::ranks]


def _sum_over_processes(fabric: Any, value: Tensor) -> Tensor:
    found: Tensor = fabric.all_reduce(value, reduce_op="sum") if fabric.world_size > 1 else value
    return found


def _end_if_asked(fabric: Any, interrupt: Interrupt, number: int, epochs: int, folder: Path) -> None:
    asked = interrupt.requested
    if fabric.world_size > 1:  # all end at the same step, or those that go on would wait for the others
        asked = bool(fabric.all_reduce(torch.tensor(float(asked)), reduce_op="max"))
    if asked:
        raise KeyboardInterrupt(
            f"interrupted in fold {number}, {epochs} whole epochs of it are kept in {folder}: give the same command "
            "with --resume to go on"
        )
