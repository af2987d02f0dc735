"""A run that begins from another one's networks, as DINOv2's last phase at a higher resolution does (its section 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.train.position_table import resize_position_table

from ..weights.read_checkpoint import find_checkpoint, read_checkpoint
from .methods import Method
from .networks import DinoNetwork

_TABLE = "backbone.pos_embed"


def start_from(path: Path, student: DinoNetwork, teacher: DinoNetwork, method: Method) -> None:
    """Fill student, teacher and centres with those of a run; the optimiser and the schedules begin anew.

    Position tables are resized to the grid of the new run's crops, DINO's way.

    Args:
        path: a run folder of `radiodino-train pretrain`, or its checkpoint.
        student: of the new run, filled in place.
        teacher: likewise.
        method: likewise.

    Raises:
        WeightsError: where there is no such checkpoint, or it cannot be read.
        InputError: where it is no run's, or its networks are of another variant, method or head.
    """
    file = find_checkpoint(path)
    try:
        state = read_checkpoint(file)
    except WeightsError as error:
        raise WeightsError(f"cannot read {file}: {error}") from None
    if not {"student", "teacher", "centres"} <= set(state):
        raise InputError(f"{file} is no checkpoint of radiodino-train pretrain: name the folder of a run")
    for name, network in (("student", student), ("teacher", teacher)):
        found = dict(state[name])
        table = network.state_dict()[_TABLE]
        if found.get(_TABLE, table).shape[-1] == table.shape[-1]:
            grid = round((table.shape[1] - 1) ** 0.5)
            found[_TABLE] = resize_position_table(found[_TABLE], grid, "dino")
        _refuse_others(found, network.state_dict(), f"the {name} in {file}")
        network.load_state_dict(found, strict=True)
    if state["centres"].keys() != method.centres.keys():
        raise InputError(f"{file} was trained with another method: give the same --method, or start without it")
    method.centres = {name: centre.to(method.centres[name].device) for name, centre in state["centres"].items()}


def _refuse_others(found: dict[str, Any], expected: dict[str, Any], what: str) -> None:
    for name in sorted(found.keys() ^ expected.keys()):
        which = "has no" if name in expected else "has an unknown"
        raise InputError(f"{what} {which} entry {name}: give the variant, method and head that it was trained with")
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise InputError(
                f"{what} has the shape {tuple(found[name].shape)} for {name}, expected {tuple(value.shape)}: give the "
                "variant, method and head that it was trained with"
            )
