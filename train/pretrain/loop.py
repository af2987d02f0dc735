"""Pretraining, in the order of execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError

from ..data.open_images import open_images
from ..data.unreadable import write_unreadable
from .collapse import CollapseAlarm
from .interrupt import deferred_interrupt
from .recipe import Recipe
from .run_folder import RunFolder
from .start import start_from
from .training import Training, steps_in_epoch


@dataclass(frozen=True)
class Pretrained:
    """How a run ended."""

    checkpoint: Path
    steps: int
    loss: float
    images_per_second: float


def pretrain(
    recipe: Recipe,
    inputs: list[str],
    out: Path,
    *,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    split: str | None = None,
    start: Path | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    decoding: Callable[[int, int], None] = lambda _done, _total: None,
    tell: Callable[[str], None] = lambda _sentence: None,
    stop_after: int | None = None,
) -> Pretrained:
    """Pretrain a backbone.

    Args:
        recipe: every number of the run.
        inputs: images, as `radiodino.train.data.listing.list_data` takes them.
        out: the run folder.
        resume: go on with the run there, exactly.
        accelerator: as Lightning Fabric names them: ``auto``, ``cpu``, ``cuda``.
        devices: processes per node; under torchrun or SLURM what those say counts.
        nodes: machines.
        split: take the images of this split alone, see `radiodino.train.data.open_images.open_images`.
        start: begin with the networks of this run, see `radiodino.train.pretrain.start.start_from`.
        cache: where decoded images are kept; None: in `RADIODINO_HOME`.
        progress: is told (steps done, steps in all).
        decoding: is told (images done, images in all) while they are decoded for the first time.
        tell: is told, once, what a user must know of the images, in sentences: what was left out, and what cannot be
            read (also written to ``unreadable.csv`` in the run folder).
        stop_after: end, resumably, after this many steps of this call.

    Raises:
        InputError: a wrong recipe or input, or fewer images than one batch.
        OutputError: the run folder cannot be written, or holds another run.
        TrainingError: the loss is not finite, or the run collapsed.
        KeyboardInterrupt: on an interrupt; a checkpoint of the last whole step was written.
    """
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=recipe.precision)  # type: ignore[arg-type]
    fabric.launch()
    if recipe.batch_size % fabric.world_size:
        raise InputError(f"batch_size {recipe.batch_size} is no multiple of the {fabric.world_size} processes")

    # The images, decoded once; the first process decodes and the others wait.
    with fabric.rank_zero_first(local=True):
        images = open_images(inputs, recipe.cache_size, split=split, cache=cache, progress=decoding)
    steps_per_epoch = steps_in_epoch(recipe, images)
    run = RunFolder(out, recipe, inputs, split=split, start=start, resume=resume) if fabric.is_global_zero else None
    if run:
        write_unreadable(images.unreadable, out / "unreadable.csv")
        for note in images.notes():
            tell(note)

    # What learns, from where an earlier run stopped or another one ended.
    training = Training(recipe, images, fabric)
    total, checkpoint = len(training.plan), out / "checkpoint.pth"
    if resume and checkpoint.exists():
        training.restore(torch.load(checkpoint, map_location=fabric.device, weights_only=True))
    elif start is not None:
        start_from(start, training.student, training.teacher, training.method)
    first = training.step
    if run:
        run.cut_log(first)

    alarm = CollapseAlarm(recipe.head.out_dim, patience=max(200, steps_per_epoch))
    began = saved = time.perf_counter()

    def save() -> None:
        if run:
            with atomic_path(run.checkpoint, overwrite=True) as temporary:
                torch.save(training.state(), temporary)

    def speed() -> float:
        return (training.step - first) * recipe.batch_size / (time.perf_counter() - began)

    with deferred_interrupt() as interrupt:
        while (
            training.step < total
            and not interrupt.requested
            and (stop_after is None or training.step < first + stop_after)
        ):
            done = training.step
            training.learn(alarm.check)
            if run:
                run.log(
                    step=done,
                    epoch=done // steps_per_epoch,
                    loss=training.loss,
                    learning_rate=float(training.plan.rates[done]),
                    weight_decay=float(training.plan.decays[done]),
                    momentum=float(training.plan.momenta[done]),
                    temperature=float(training.plan.temperatures[done]),
                    images_per_second=speed(),
                    waiting_share=training.waited / (time.perf_counter() - began),
                )
            progress(training.step, total)
            if fabric.world_size > 1:  # all stop at the same step, or those that go on would wait for the others
                asked_anywhere = fabric.all_reduce(torch.tensor(float(interrupt.requested)), reduce_op="max")
                interrupt.requested = bool(asked_anywhere)
            if time.perf_counter() - saved > 60 * recipe.checkpoint_minutes:
                save()
                saved = time.perf_counter()
    save()
    if interrupt.requested:
        raise KeyboardInterrupt(
            f"interrupted after {training.step} of {total} steps, kept in {out}: give the same command with --resume "
            "to go on"
        )
    return Pretrained(checkpoint, training.step, training.loss, speed())
