"""Who answers in `radiodino.benchmarks.task_accuracy`: the PyTorch original, and each file in each engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from radiodino.export.engine import cpu_backends
from radiodino.export.original import Original
from radiodino.export.recorded_original import recorded_info, recorded_original
from radiodino.export.verify import reference_outputs
from radiodino.runtime import Model
from radiodino.runtime.errors import InputError
from radiodino.runtime.model_info import ModelInfo
from radiodino.runtime.preprocessing import Preprocessor

from .task_answers import Answers, Figures, Outputs, answers, figures, joined
from .task_limits import LIMITS, ORIGINAL, Limits, broken
from .task_samples import Sample

_AT_ONCE = 8
"""Images of one pass; small, for all networks are in memory at the same time."""
_HEAD_OUTPUTS = ("logits", "probabilities", "mask")


@dataclass(frozen=True)
class Contestant:
    """A network that answers."""

    file: str
    """Name of the exported file; empty text for the original."""
    engine: str
    """With its version."""
    compute: str
    """Its arithmetic."""
    run: Callable[[NDArray[np.float32]], Outputs]
    """From network input (B, 3, S, S) to outputs."""
    limits: Limits | None = None
    """How far it may be from the original, as the two that follow None for the original itself."""
    model: Model | None = None

    def __str__(self) -> str:
        return f"{self.file or 'the original'} in {self.engine} ({self.compute})"


@dataclass(frozen=True)
class Row:
    """What came of a contestant."""

    contestant: Contestant
    answers: Answers
    figures: Figures
    broken: list[str]
    """Limits that it does not keep, as phrases."""


def common_original(files: Sequence[Path], weights: tuple[str, ...] | None = None) -> tuple[Original, list[ModelInfo]]:
    """The one original of all `files`, and what each file says of itself.

    Args:
        files: at least one.
        weights: see `recorded_original`.

    Raises:
        InputError: a file has no head, or two were made from different originals; or see `recorded_original`.
        ModelFileError: see `recorded_original`.
        WeightsError: likewise.
    """
    infos = [recorded_info(file) for file in files]
    for file, info in zip(files, infos, strict=True):
        if info.classifier is None and info.segmenter is None:
            raise InputError(
                f"{file} has no head, so that it gives neither classes nor masks: export it with --task classify, "
                "segment or classify+segment"
            )
        if _identity(info) != _identity(infos[0]):
            raise InputError(f"{files[0]} and {file} were made from different originals: measure each on its own")
    return recorded_original(files[0], weights)[1], infos


def _identity(info: ModelInfo) -> tuple[object, ...]:
    return info.variant, info.image_size, info.preprocessing, info.weights.sha256, info.classifier, info.segmenter


def the_original(original: Original, info: ModelInfo) -> Contestant:
    """The PyTorch original, as an export is verified against it: on the CPU, in fp32."""
    outputs = tuple(output.name for output in info.outputs if output.name in _HEAD_OUTPUTS)

    def run(batch: NDArray[np.float32]) -> Outputs:
        return reference_outputs(original, outputs, [batch])[0]

    return Contestant("", f"PyTorch {torch.__version__.partition('+')[0]}", "fp32", run)


def contestants_of(file: Path, precision: str, threads: int | None = None) -> list[Contestant]:
    """A file in every CPU engine and every arithmetic that it promises.

    Args:
        file: of radiodino-export.
        precision: of its weights.
        threads: see `Model.load`.

    Raises:
        BackendError: no CPU engine is installed.
        InputError: it is not known how far a file of this precision may be from its original.
    """
    if precision not in {known for known, _ in LIMITS}:
        raise InputError(f"{file} is of the precision {precision}, for which there are no limits here: leave it out")
    found = []
    for status in cpu_backends():
        for compute in status.arithmetic.supported if status.arithmetic else ():
            limits = LIMITS.get((precision, compute))
            if limits is None:  # an fp32 file promises fp32 arithmetic only
                continue
            model = Model.load(file, backend=status.name, compute=compute, threads=threads, cache=False)
            engine = f"{status.name} {model.backend.version}"
            found.append(Contestant(file.name, engine, compute, model.run, limits, model))
    return found


def compared(
    contestants: Sequence[Contestant],
    samples: Sequence[Sample],
    info: ModelInfo,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Row]:
    """What each contestant answers, and how far that is from the original.

    Args:
        contestants: the original first.
        samples: the images, at least one.
        info: what the files say of preprocessing and heads.
        progress: is told (images done, images in all).

    Raises:
        ModelFileError: an output holds values that are not finite.
    """
    preprocess = Preprocessor(info.preprocessing)
    threshold = None if info.segmenter is None else info.segmenter.threshold
    total, done = sum(map(len, samples)), 0
    parts: list[list[Answers]] = [[] for _ in contestants]
    for sample in samples:
        for start in range(0, len(sample), _AT_ONCE):
            places = sample.places[start : start + _AT_ONCE]
            batch = np.stack([preprocess(image) for image in sample.images(places)])
            truths = None if sample.masks is None else sample.masks[places]
            wanted = contestants[0].run(batch)
            for number, (one, own) in enumerate(zip(contestants, parts, strict=True)):
                own.append(answers(one.run(batch) if number else wanted, wanted, threshold, truths))
            done += len(places)
            progress(done, total)
    whole = [joined(own) for own in parts]
    rows = []
    for one, found in zip(contestants, whole, strict=True):
        came = figures(found, whole[0], samples, (one.limits or ORIGINAL).margin)
        rows.append(Row(one, found, came, [] if one.limits is None else broken(came, one.limits)))
    return rows
