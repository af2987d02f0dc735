"""What a network says of real images, image by image, and what that comes to over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiodino.train.classify.calibration import probabilities
from radiodino.train.evaluate.metrics import classification_metrics
from radiodino.train.segment.metrics import overlap, summary

from .task_samples import MASKS, Sample

Outputs = dict[str, NDArray[np.float32]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Of one network, beside those of the original, for N images; None where the file has no such head.

    Nothing is kept whose size is that of an image.
    """

    logits: NDArray[np.float32] | None
    """(N, C)."""
    probabilities: NDArray[np.float32] | None
    """(N, C), calibrated."""
    class_error: Floats | None
    """(N,): the largest |Δ| of a class's probability to the original's."""
    marked: NDArray[np.int64] | None
    """(N,): pixels of the mask."""
    original_marked: NDArray[np.int64] | None
    """(N,): pixels of the original's mask."""
    shared: NDArray[np.int64] | None
    """(N,): pixels of both."""
    mask_error: Floats | None
    """(N,): the largest |Δ| of a pixel's probability to the original's."""
    dice: Floats | None
    """(N,): with the true mask; not a number where there is none."""
    iou: Floats | None
    """Likewise."""


def answers(found: Outputs, wanted: Outputs, threshold: float | None, truths: NDArray[np.uint8] | None) -> Answers:
    """Of one batch.

    Args:
        found: outputs of a network; ``logits`` and ``probabilities`` (B, C), or ``mask`` (B, S, S), or all.
        wanted: those of the original.
        threshold: from which probability on a pixel belongs to the mask; where there is one.
        truths: (B, S, S), the true masks, 0 or 1; None where they are not known.
    """
    classes = class_error = None
    if "logits" in found:
        classes = found["probabilities"]
        class_error = _largest(classes, wanted["probabilities"])
    marked = original_marked = shared = mask_error = dice = iou = None
    if "mask" in found and threshold is not None:
        # In float32, as the runtime and PyTorch compare.
        own, its = (outputs["mask"] >= np.float32(threshold) for outputs in (found, wanted))
        marked, original_marked, shared = (_count(pixels) for pixels in (own, its, own & its))
        mask_error = _largest(found["mask"], wanted["mask"])
        dice = iou = np.full(len(own), np.nan)
        if truths is not None:
            dice, iou = overlap(torch.from_numpy(own), torch.from_numpy(np.ascontiguousarray(truths)).bool())
    return Answers(
        found.get("logits"), classes, class_error, marked, original_marked, shared, mask_error, dice, iou
    )  # fmt: skip


def _count(pixels: NDArray[np.bool_]) -> NDArray[np.int64]:
    counted: NDArray[np.int64] = pixels.sum(axis=(1, 2), dtype=np.int64)
    return counted


def _largest(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> Floats:
    error: Floats = np.abs(found.astype(np.float64) - wanted).reshape(len(found), -1).max(axis=1)
    return error


def joined(parts: Sequence[Answers]) -> Answers:
    """One after the other."""
    values = ([getattr(part, field.name) for part in parts] for field in fields(Answers))
    return Answers(*(None if found[0] is None else np.concatenate(found) for found in values))


@dataclass(frozen=True)
class Figures:
    """What the answers of one network come to; None where it has no such head or there are no such images."""

    images: int
    """With a class: of `accuracy`, `f1` and `auc`."""
    accuracy: float | None
    """0..1, by the largest logit, as `radiodino.train.evaluate.metrics` says, as the two that follow."""
    f1: float | None
    """Plain mean over the classes."""
    auc: float | None
    """From softmax(logits), as a training measures it; None too where an image of some class is missing."""
    compared: int
    """Images of all samples: of what follows down to `mask_error`."""
    clear: int | None
    """Images whose two largest probabilities the original holds further apart than the margin."""
    same_class: int | None
    """Of these, those whose largest probability is that of the original's class."""
    class_error: float | None
    """The largest difference of a class's probability to the original's, calibrated both."""
    original_dice: float | None
    """Dice with the original's masks, all pixels of all images together; None where both mark nothing anywhere."""
    smallest_dice: float | None
    """The smallest of one image; 1 where both masks are empty."""
    mask_error: float | None
    """The largest difference of a pixel's probability to the original's."""
    truth: dict[str, Any] | None
    """Dice and IoU with the true masks: see `radiodino.train.segment.metrics.summary`."""


def figures(found: Answers, original: Answers, samples: Sequence[Sample], margin: float) -> Figures:
    """Over all images.

    Args:
        found: of one network, for the images of `samples` one after the other.
        original: of the PyTorch original, likewise.
        samples: which images they are.
        margin: see `Figures.clear`.
    """
    ends = np.cumsum([len(sample) for sample in samples])
    parts = [slice(int(end) - len(sample), int(end)) for end, sample in zip(ends, samples, strict=True)]
    images, metrics = 0, {}
    clear = same = class_error = None
    if found.logits is not None and found.probabilities is not None and original.probabilities is not None:
        for sample, part in zip(samples, parts, strict=True):
            if sample.targets is not None:
                images, logits = len(sample), found.logits[part]
                metrics = classification_metrics(sample.targets, logits.argmax(axis=1), probabilities(logits))
        two = np.sort(original.probabilities, axis=1)[:, -2:]
        is_clear = two[:, 1] - two[:, 0] > margin
        is_same = found.probabilities.argmax(axis=1) == original.probabilities.argmax(axis=1)
        clear, same = int(is_clear.sum()), int((is_clear & is_same).sum())
        class_error = _worst(found.class_error)
    truth = None
    if found.dice is not None and found.iou is not None:
        for sample, part in zip(samples, parts, strict=True):
            if sample.kind == MASKS and sample.masks is not None:
                lesions = np.array([bool(sample.masks[place].any()) for place in sample.places])
                truth = summary(found.dice[part], found.iou[part], lesions, sample.labels)
    return Figures(
        images=images,
        accuracy=metrics.get("accuracy"),
        f1=metrics.get("f1"),
        auc=metrics.get("auc"),
        compared=int(ends[-1]),
        clear=clear,
        same_class=same,
        class_error=class_error,
        original_dice=_pooled(found),
        smallest_dice=_smallest(found),
        mask_error=_worst(found.mask_error),
        truth=truth,
    )


def _worst(values: Floats | None) -> float | None:
    return None if values is None else float(values.max())


def _pooled(found: Answers) -> float | None:
    if found.marked is None or found.original_marked is None or found.shared is None:
        return None
    total = int(found.marked.sum() + found.original_marked.sum())
    return 2 * int(found.shared.sum()) / total if total else None


def dice_of_each(found: Answers) -> Floats | None:
    """(N,): Dice of each image's mask with the original's, 1 where both are empty; None where there are no masks."""
    if found.marked is None or found.original_marked is None or found.shared is None:
        return None
    total = found.marked + found.original_marked
    each: Floats = np.where(total > 0, 2 * found.shared / np.maximum(total, 1), 1.0)
    return each


def _smallest(found: Answers) -> float | None:
    each = dice_of_each(found)
    return None if each is None else float(each.min())
