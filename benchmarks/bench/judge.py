"""What the contenders answer to the same images, beside the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.export.int8.gate import Neighbours
from radiodino.export.int8.limits import CLASS_MARGIN, NEIGHBOUR_MARGIN
from radiodino.export.verify import cosines
from radiodino.runtime.errors import InputError
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor
from radiodino.train.evaluate.metrics import classification_metrics

from ..task_answers import Answers, answers, figures, joined
from ..task_samples import Sample
from .contender import Contender
from .rounds import Contest
from .row import Quality
from .worker_process import MeasurementError, save_batch

_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class JudgeSet:
    """Images to judge by."""

    samples: tuple[Sample, ...]
    gallery: int = 0
    """Of an embedder: of the first sample the first so many are those in which the nearest image is looked for, and
    which are not judged themselves."""

    @property
    def origin(self) -> str:
        """In words."""
        return "; ".join(sample.origin for sample in self.samples)


@dataclass
class _Found:
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)


def judged(
    contest: Contest,
    contenders: Sequence[Contender],
    judges: JudgeSet,
    threshold: float | None,
    image_size: int,
    folder: Path,
    progress: Callable[[str], None],
) -> dict[Contender, Quality]:
    """The quality of each.

    Args:
        contest: their open processes.
        contenders: the original first.
        judges: the images.
        threshold: of masks, where the network has some.
        image_size: side in pixels.
        folder: for batches and answers on their way.
        progress: told what is being done.

    Returns:
        Of each; a peer that fails is told of in `contest.failed` instead.

    Raises:
        InputError: a contender gives values that are not finite.
        MeasurementError: a process ended.
    """
    preprocess = Preprocessor(Preprocessing(resize=(image_size, image_size)))
    found: dict[Contender, _Found] = {one: _Found() for one in contenders}
    total, done = sum(map(len, judges.samples)), 0
    for sample in judges.samples:
        for start in range(0, len(sample), _AT_ONCE):
            places = sample.places[start : start + _AT_ONCE]
            batch = np.stack([preprocess(image) for image in sample.images(places)])
            truths = None if sample.masks is None else sample.masks[places]
            path = save_batch(folder / "judged.npy", batch)
            wanted: dict[str, NDArray[Any]] = {}
            for one in list(found):
                try:
                    own = contest.worker(one).answer(path, folder)
                    _refuse_broken(one, own)
                except (MeasurementError, InputError) as error:
                    if not one.may_fail:
                        raise
                    contest.failed[one] = str(error)
                    del found[one]
                    continue
                wanted = wanted or own
                found[one].embeddings.append(own["embedding"].astype(np.float32))
                found[one].answers.append(answers(own, wanted, threshold, truths))
            done += len(places)
            progress(f"judge, {done} of {total} images")
    return {one: _quality(own, found[contenders[0]], judges) for one, own in found.items()}


def _refuse_broken(one: Contender, outputs: dict[str, NDArray[Any]]) -> None:
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise InputError(f"output '{name}' of '{one.name}' holds NaN or infinite values: leave that row out")


def _quality(found: _Found, original: _Found, judges: JudgeSet) -> Quality:
    own, wanted = np.concatenate(found.embeddings), np.concatenate(original.embeddings)
    cosine = cosines(own[judges.gallery :], wanted[judges.gallery :])
    mine, its = joined(found.answers), joined(original.answers)
    label, clear, same = None, None, None
    scores: dict[str, float] = {}
    before: dict[str, float] = {}
    dice = None
    if mine.logits is None and mine.marked is None:
        if judges.gallery:
            label = "nearest label"
            clear, same, scores, before = _nearest(own, wanted, judges)
    else:
        came = figures(mine, its, judges.samples, CLASS_MARGIN)
        if came.clear is not None and came.same_class is not None:
            label, clear = "class", came.clear
            same = came.same_class / clear if clear else None
        dice = came.original_dice
        scores, before = _scores(came), _scores(figures(its, its, judges.samples, CLASS_MARGIN))
    return Quality(
        images=len(cosine),
        mean_cosine=float(cosine.mean()),
        min_cosine=float(cosine.min()),
        label=label,
        clear=clear,
        same_label=same,
        dice_to_original=dice,
        scores=scores,
        changes={name: value - before[name] for name, value in scores.items() if name in before},
    )


def _scores(came: Any) -> dict[str, float]:
    lesions = ((came.truth or {}).get("lesions") or {}).get("dice")
    named = {"accuracy": came.accuracy, "f1": came.f1, "auc": came.auc, "dice": lesions}
    return {name: float(value) for name, value in named.items() if value is not None}


def _nearest(
    own: NDArray[np.float32], wanted: NDArray[np.float32], judges: JudgeSet
) -> tuple[int, float | None, dict[str, float], dict[str, float]]:
    """Clear images, the share that keeps its label, the scores, and the original's."""
    labels, cut = judges.samples[0].labels, judges.gallery
    after, before = (
        Neighbours.find(every[:cut], every[cut:], labels[:cut], labels[cut:]) for every in (own, wanted)
    )  # fmt: skip
    clear = before.margin > NEIGHBOUR_MARGIN
    same = float((after.labels == before.labels)[clear].mean()) if clear.any() else None
    return int(clear.sum()), same, _of_labels(after), _of_labels(before)


def _of_labels(found: Neighbours) -> dict[str, float]:
    names = sorted({*found.own, *found.labels})
    own, said = (np.array([names.index(label) for label in labels]) for labels in (found.own, found.labels))
    metrics = classification_metrics(own, said)
    return {name: value for name in ("accuracy", "f1") if (value := metrics[name]) is not None}
