"""What of a file's heads must hold before any number of theirs is shown, and what to say where a head is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..errors import InputError, ModelFileError
from ..model_info import ClassifierInfo, ModelInfo, SegmenterInfo
from .kinds import ATTENTION, CAM, KINDS


def refuse_bad_heads(info: ModelInfo, path: object) -> None:
    """Say what of the heads' description cannot be.

    Raises:
        ModelFileError: a head, its settings and the network's outputs do not fit each other.
    """
    for problem in _problems(info):
        raise ModelFileError(f"the metadata of {path} are not consistent ({problem}): export it again")


def classifier_of(info: ModelInfo) -> ClassifierInfo:
    """The classification head.

    Raises:
        ModelFileError: the file has none.
    """
    if info.classifier is None:
        raise _lacking(info, "classify")
    return info.classifier


def segmenter_of(info: ModelInfo) -> SegmenterInfo:
    """The segmentation head.

    Raises:
        ModelFileError: the file has none.
    """
    if info.segmenter is None:
        raise _lacking(info, "segment")
    return info.segmenter


def explanation_kind(info: ModelInfo, kind: str | None) -> str:
    """The kind of map to make.

    Args:
        info: of the file.
        kind: the one that is asked for; None takes ``cam`` where the file gives it, else ``attention``.

    Raises:
        InputError: there is no such kind.
        ModelFileError: the file does not give it.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"there is no kind of explanation '{kind}': choose {' or '.join(KINDS)}")
    outputs = {output.name for output in info.outputs} - ({CAM} if info.classifier is None else set())
    for wanted in KINDS if kind is None else (kind,):
        if wanted in outputs:
            return wanted
    missing = "neither cam nor attention" if kind is None else f"no {kind}"
    task = "classify" if info.task == "embed" else info.task
    cure = f"--outputs {kind or ATTENTION}" + (f" --task {task}" if kind == CAM else "")
    raise ModelFileError(f"this file gives {missing}: export one with radiodino-export {cure}")


def target_class(info: ModelInfo, kind: str, label: str | None) -> int | None:
    """The index of the class that a map shall speak for, None for the one that is said.

    Raises:
        InputError: the file knows no such class, or the map is of no class.
    """
    if label is None:
        return None
    if kind != CAM:
        raise InputError(
            f"an explanation of kind {kind} is the same for all classes: leave out the class, or ask for cam"
        )
    classes = classifier_of(info).classes
    if label not in classes:
        raise InputError(f"this file knows no class '{label}': choose one of {', '.join(classes)}")
    return classes.index(label)


def _lacking(info: ModelInfo, task: str) -> ModelFileError:
    return ModelFileError(
        f"this file is made for the task '{info.task}' and does not {task}: export one with radiodino-export "
        f"--task {task}"
    )


def _problems(info: ModelInfo) -> Iterator[str]:
    shapes = {output.name: output.shape for output in info.outputs}
    tasks = info.task.split("+")
    patches = (info.image_size // info.patch) ** 2
    if ("classify" in tasks) != (info.classifier is not None) or ("segment" in tasks) != (info.segmenter is not None):
        yield f"the task is '{info.task}' and the heads are others"
    for name in KINDS:
        if name in shapes and (len(shapes[name]) != 3 or shapes[name][-1] != patches):
            yield f"output '{name}' is {shapes[name]}, and there are {patches} patches"
    if CAM in shapes and info.classifier is None:
        yield "it gives a cam without a classification head"
    if info.classifier is not None:
        yield from _classifier_problems(info.classifier, shapes)
    if info.segmenter is not None:
        side = info.image_size
        if shapes.get("mask") != (-1, side, side):
            yield f"output 'mask' is {shapes.get('mask')} and not (-1, {side}, {side})"
        if not 0 <= info.segmenter.threshold <= 1:
            yield f"the threshold of the mask is {info.segmenter.threshold}"


def _classifier_problems(head: ClassifierInfo, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    count = len(head.classes)
    if count < 2 or len(set(head.classes)) < count or not all(head.classes):
        yield "a classification head needs two or more different class names"
    for name in ("logits", "probabilities"):
        if shapes.get(name) != (-1, count):
            yield f"output '{name}' is {shapes.get(name)} and not (-1, {count})"
    if CAM in shapes and shapes[CAM][1:2] != (count,):
        yield f"output 'cam' is {shapes[CAM]}, and there are {count} classes"
    if not (math.isfinite(head.temperature) and head.temperature > 0):
        yield f"the temperature is {head.temperature}"
    if head.thresholds is not None:
        if count != 2 or set(head.thresholds) != {head.classes[-1]}:
            yield "a threshold is one number, for the second of two classes"
        elif not 0 <= head.thresholds[head.classes[1]] <= 1:
            yield f"the threshold is {head.thresholds[head.classes[1]]}"
