"""Pretraining, in the order of execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError

from ..data.open_images import open_images
from ..data.unreadable import write_unreadable
from ..ssl.ema import update_teacher
from ..ssl.parameter_groups import apply_schedules
from .collapse import CollapseAlarm
from .interrupt import deferred_interrupt
from .methods import METHODS, Method
from .networks import build_networks
from .plan import make_plan
from .recipe import Recipe, as_document
from .run_folder import RunFolder
from .sampler import Balance, seed_of, step_indices
from .start import start_from
from .step_crops import make_step_crops

_NOISE, _MASKS = 2, 3  # purposes of random numbers, beside the order of an epoch (0) and crops (1)


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
    steps_per_epoch = len(images) // recipe.batch_size
    if not steps_per_epoch:
        raise InputError(f"{len(images)} images are fewer than one batch of {recipe.batch_size}: lower batch_size")
    balance = Balance(images.sources, recipe.balance)
    plan = make_plan(recipe, steps_per_epoch)
    total = len(plan)
    run = RunFolder(out, recipe, inputs, split=split, start=start, resume=resume) if fabric.is_global_zero else None
    if run:
        write_unreadable(images.unreadable, out / "unreadable.csv")
        for note in images.notes():
            tell(note)

    # The networks and their optimiser.
    student, teacher = build_networks(recipe)
    teacher.to(fabric.device)
    method = METHODS[recipe.method](recipe, fabric.device, fabric.global_rank, fabric.world_size)
    if start is not None and not (resume and (out / "checkpoint.pth").exists()):
        start_from(start, student, teacher, method)
    optimiser = torch.optim.AdamW(method.groups(student), lr=0.0, fused=True)
    wrapped, optimiser = fabric.setup(student, optimiser)

    # Where an earlier run stopped.
    first = 0
    if resume and (out / "checkpoint.pth").exists():
        first = _restore(out / "checkpoint.pth", student, teacher, optimiser, method, fabric)
    if run:
        run.cut_log(first)

    alarm = CollapseAlarm(recipe.head.out_dim, patience=max(200, steps_per_epoch))
    loss = torch.tensor(float("nan"))
    step, began, saved = first, time.perf_counter(), time.perf_counter()
    waited, order = 0.0, torch.empty(0)

    def save() -> None:
        if run:
            _save(run.checkpoint, step, recipe, student, teacher, optimiser, method)

    with deferred_interrupt() as interrupt:
        while step < total and not interrupt.requested and (stop_after is None or step < first + stop_after):
            epoch, within = divmod(step, steps_per_epoch)
            if within == 0 or step == first:
                order = balance.order(recipe.seed, epoch)
            apply_schedules(
                optimiser.param_groups,
                float(plan.rates[step]),
                float(plan.decays[step]),
                float(plan.last_layer_rates[step]),
            )

            asked = time.perf_counter()
            mine = step_indices(order, within, recipe.batch_size, fabric.global_rank, fabric.world_size)
            pixels = torch.from_numpy(images.pixels[mine.numpy()])
            if fabric.device.type == "cuda":  # copied while the card computes
                pixels = pixels.pin_memory()
            crops = make_step_crops(
                pixels,
                recipe,
                step,
                fabric.global_rank,
                fabric.world_size,
                fabric.device,
                recipe.crops_at(step / total),
            )
            waited += time.perf_counter() - asked

            torch.manual_seed(seed_of(recipe.seed, step, _NOISE, fabric.global_rank))  # stochastic depth
            with fabric.autocast():
                loss = method.loss(
                    wrapped, teacher, crops, float(plan.temperatures[step]), seed_of(recipe.seed, step, _MASKS)
                )
            value = float(loss.detach())
            alarm.check(value, step)

            optimiser.zero_grad(set_to_none=True)
            fabric.backward(loss)
            method.clip(student, epoch)
            optimiser.step()

            update_teacher(student.parameters(), teacher.parameters(), float(plan.momenta[step]))
            method.update_centres()

            step += 1
            if run:
                seconds = time.perf_counter() - began
                run.log(
                    step=step - 1,
                    epoch=epoch,
                    loss=value,
                    learning_rate=float(plan.rates[step - 1]),
                    weight_decay=float(plan.decays[step - 1]),
                    momentum=float(plan.momenta[step - 1]),
                    temperature=float(plan.temperatures[step - 1]),
                    images_per_second=(step - first) * recipe.batch_size / seconds,
                    waiting_share=waited / seconds,
                )
            progress(step, total)
            if fabric.world_size > 1:  # all stop at the same step, or those that go on would wait for the others
                asked_anywhere = fabric.all_reduce(torch.tensor(float(interrupt.requested)), reduce_op="max")
                interrupt.requested = bool(asked_anywhere)
            if time.perf_counter() - saved > 60 * recipe.checkpoint_minutes:
                save()
                saved = time.perf_counter()
    save()
    if interrupt.requested:
        raise KeyboardInterrupt(
            f"interrupted after {step} of {total} steps, kept in {out}: give the same command with --resume to go on"
        )
    seconds = time.perf_counter() - began
    return Pretrained(out / "checkpoint.pth", step, float(loss.detach()), (step - first) * recipe.batch_size / seconds)


def _save(path: Path, step: int, recipe: Recipe, student: Any, teacher: Any, optimiser: Any, method: Method) -> None:
    state = {
        "student": student.state_dict(),
        "teacher": teacher.state_dict(),
        "optimizer": optimiser.state_dict(),
        "centres": method.centres,
        "step": step,
        "recipe": as_document(recipe),
    }
    with atomic_path(path, overwrite=True) as temporary:
        torch.save(state, temporary)


def _restore(path: Path, student: Any, teacher: Any, optimiser: Any, method: Method, fabric: Any) -> int:
    state = torch.load(path, map_location=fabric.device, weights_only=True)
    student.load_state_dict(state["student"], strict=True)
    teacher.load_state_dict(state["teacher"], strict=True)
    optimiser.load_state_dict(state["optimizer"])
    method.centres = state["centres"]
    return int(state["step"])
