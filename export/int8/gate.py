"""The gate that an int8 graph must pass before it is written: the fp32 original's answers for the held-out images.

It is judged in both engines, in every arithmetic that the runtime would use for the float parts, and in ONNX Runtime
also as it stands in the file, since an optimiser that fuses quantised operators wrongly shows there alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from radiodino.runtime.backends.onnxruntime import CPU_NAME
from radiodino.runtime.model_info import ClassifierInfo, SegmenterInfo
from radiodino.runtime.quantisation_info import GateMeasure, GateResult
from radiodino.runtime.tasks.classification import decide

from ..engine import Batch, cpu_backends, open_graph
from ..original import Original
from ..verify import cosines, pooled_dice, reference_outputs
from .calibration_set import CalibrationImages, CalibrationSet
from .limits import (
    CLASS_MARGIN,
    DICE,
    ENOUGH_LABELLED,
    LARGEST_DROP,
    MASK_MARGIN,
    NEIGHBOUR_MARGIN,
    GateLimits,
)

Progress = Callable[[str], None]
_FEW = 32
JUDGED = ("embedding", "probabilities", "mask")
"""Outputs that the gate looks at, where the file has them."""
_PIXELS = 8 * 224 * 224
"""Of a batch."""


@dataclass(frozen=True)
class _Way:
    """One way in which a file is computed."""

    backend: str
    compute: str
    optimised: bool
    most: int | None = None
    """Images that are enough to judge it; None takes all, and looks for the nearest images too."""

    def __str__(self) -> str:
        return f"{self.backend} ({self.compute}{'' if self.optimised else ', not optimised'})"


class Gate:
    """Judges candidates by what the original says of the held-out images, which is computed once.

    Args:
        original: the fp32 PyTorch original.
        outputs: of the file.
        images: to judge by; those to calibrate on are the gallery in which the nearest image is looked for.
        limits: what must be reached.
        progress: told what is being done.

    Raises:
        BackendError: no CPU engine is installed.
        WeightsError: an output of the original is zero for every image.
    """

    def __init__(
        self,
        original: Original,
        outputs: tuple[str, ...],
        images: CalibrationSet,
        limits: GateLimits,
        progress: Progress = lambda _step: None,
    ) -> None:
        self.limits = limits
        self.classifier, self.segmenter = original.classifier_info, original.segmenter_info
        self.ways = list(_ways())
        self._held_out, self._gallery = images.held_out, images.calibration
        self._judged = tuple(name for name in outputs if name in JUDGED)
        self._labelled = len({label for label in images.calibration.labels if label}) > 1

        def reference(batches: Sequence[Batch], names: tuple[str, ...]) -> Iterator[dict[str, Batch]]:
            for number, batch in enumerate(batches, 1):
                progress(f"run the original on images, batch {number} of {len(batches)}")
                yield from reference_outputs(original, names, [batch])

        self._wanted = _joined(reference(self._batches(self._held_out), self._judged))
        self._wanted_gallery: Batch | None = None
        if self._labelled:
            gallery = reference(self._batches(self._gallery), ("embedding",))
            self._wanted_gallery = _joined(gallery)["embedding"]

    def judge(
        self, model: onnx.ModelProto, progress: Progress = lambda _step: None, *, whole: bool = True
    ) -> tuple[GateResult, ...]:
        """The measures of `model` in every engine.

        Args:
            model: the candidate.
            progress: told which engine computes.
            whole: False ends with the first engine in which it fails, and there without looking for nearest images.
        """
        results: list[GateResult] = []
        for number, way in enumerate(self.ways, 1):
            progress(f"{way}, {number} of {len(self.ways)}")
            results.append(self._judge(model, way, whole=whole))
            if not (whole or results[-1].passed):
                break
        return tuple(results)

    def _judge(self, model: onnx.ModelProto, way: _Way, *, whole: bool) -> GateResult:
        backend = open_graph(model, way.backend, way.compute, "int8", optimised=way.optimised, bf16_residual=True)

        def run(images: CalibrationImages) -> dict[str, Batch]:
            return _joined(backend.run(batch) for batch in self._batches(images))

        held_out = self._held_out.first(way.most or len(self._held_out))
        wanted = {name: values[: len(held_out)] for name, values in self._wanted.items()}
        found = run(held_out)
        measures = _of_embeddings(found["embedding"], wanted["embedding"], self.limits)
        near = all(measure.passed for measure in measures)
        if self._wanted_gallery is not None and way.most is None and (whole or near):
            labels = self._gallery.labels, held_out.labels
            before = Neighbours.find(self._wanted_gallery, wanted["embedding"], *labels)
            after = Neighbours.find(run(self._gallery)["embedding"], found["embedding"], *labels)
            measures += of_neighbours(after, before, self.limits)
        if self.classifier is not None:
            probabilities = found["probabilities"], wanted["probabilities"]
            measures += of_classes(*probabilities, self.classifier, held_out.labels, self.limits)
        if self.segmenter is not None:
            measures += _of_masks(found["mask"], wanted["mask"], self.segmenter)
        return GateResult(
            engine=f"{backend.name} {backend.version}",
            compute=way.compute,
            optimised=way.optimised,
            measures=tuple(measures),
        )

    def _batches(self, images: CalibrationImages) -> Sequence[Batch]:
        height, width = images.preprocess.settings.resize
        return images.batches(max(1, _PIXELS // (height * width)))


def failures(results: Sequence[GateResult]) -> str:
    """What is beyond its limit, in words; empty where nothing is."""
    return "; ".join(
        f"{measure.name} {measure.value:.5f} in {_Way(result.engine, result.compute, result.optimised)} where "
        f"{measure.limit} is demanded"
        for result in results
        for measure in result.measures
        if not measure.passed
    )


def failing_outputs(results: Sequence[GateResult]) -> set[str]:
    """The outputs of which a measure is beyond its limit."""
    return {measure.output for result in results for measure in result.measures if not measure.passed}


def _ways() -> Iterator[_Way]:
    for status in cpu_backends():
        # The coarser first: where it fails, the others need not be tried. No part of an int8 file is computed in fp16.
        for compute in sorted(set(status.arithmetic.supported if status.arithmetic else ()) - {"fp16"}):
            yield _Way(status.name, compute, True)
        if status.name == CPU_NAME:
            yield _Way(status.name, "fp32", False, _FEW)  # ten times slower, and wrong for every image if at all


def _joined(batches: Iterator[dict[str, Batch]]) -> dict[str, Batch]:
    found = list(batches)
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0] if name in JUDGED}


def _at_least(output: str, name: str, value: float, limit: float, images: int) -> GateMeasure:
    passed = bool(value >= limit)
    return GateMeasure(output=output, name=name, value=value, limit=limit, images=images, passed=passed)


def _of_embeddings(found: Batch, wanted: Batch, limits: GateLimits) -> list[GateMeasure]:
    cosine = cosines(found, wanted)
    return [
        _at_least("embedding", "mean cosine", float(cosine.mean()), limits.mean_cosine, len(found)),
        _at_least("embedding", "smallest cosine", float(cosine.min()), limits.min_cosine, len(found)),
    ]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar labelled image of a gallery, for each labelled image."""

    labels: NDArray[np.str_]
    """Of the most similar image."""
    own: NDArray[np.str_]
    """Of the image itself."""
    margin: NDArray[np.float64]
    """How much less similar the most similar image of another label is, cosine."""

    @classmethod
    def find(cls, gallery: Batch, images: Batch, of_gallery: Sequence[str], of_images: Sequence[str]) -> Neighbours:
        """Those of `images`, (m, D), in `gallery`, (n, D), which holds at least two labels; empty labels are none."""
        in_gallery, own = np.array(of_gallery), np.array(of_images)
        similar = _unit(images[own != ""]) @ _unit(gallery[in_gallery != ""]).T
        in_gallery, own = in_gallery[in_gallery != ""], own[own != ""]
        labels = in_gallery[similar.argmax(axis=1)]
        others = np.where(in_gallery[None] == labels[:, None], -np.inf, similar)
        return cls(labels, own, similar.max(axis=1) - others.max(axis=1))


def _unit(rows: Batch) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)
    return unit


def of_neighbours(after: Neighbours, before: Neighbours, limits: GateLimits) -> list[GateMeasure]:
    """Whether the nearest label stays what it was, and how often it is right."""
    clear = before.margin > NEIGHBOUR_MARGIN
    right = "accuracy of the nearest label, change"
    return [
        *_agreement("embedding", "same nearest label", after.labels == before.labels, clear, limits),
        *_change("embedding", right, after.labels == after.own, before.labels == before.own),
    ]


def of_classes(
    found: Batch, wanted: Batch, head: ClassifierInfo, labels: Sequence[str], limits: GateLimits
) -> list[GateMeasure]:
    """Whether the class stays what it was, and how often it is right where the images' labels are classes.

    Args:
        found: probabilities (n, C).
        wanted: the original's.
        head: what the file says of its head.
        labels: of the images.
        limits: what must be reached.
    """
    after, before = (np.array([decide(row, head)[0] for row in rows]) for rows in (found, wanted))
    if head.thresholds is None:
        two = np.sort(wanted, axis=1)[:, -2:]
        margin = two[:, 1] - two[:, 0]
    else:
        margin = np.abs(wanted[:, 1] - head.thresholds[head.classes[1]])
    known = np.array([label in head.classes for label in labels])
    own = np.array([head.classes.index(label) for label in labels if label in head.classes], np.int64)
    return [
        *_agreement("probabilities", "same class", after == before, margin > CLASS_MARGIN, limits),
        *_change("probabilities", "accuracy of the class, change", after[known] == own, before[known] == own),
    ]


def _agreement(
    output: str, name: str, same: NDArray[np.bool_], clear: NDArray[np.bool_], limits: GateLimits
) -> list[GateMeasure]:
    return (
        []
        if not clear.any()
        else [_at_least(output, name, float(same[clear].mean()), limits.agreement, int(clear.sum()))]
    )


def _change(output: str, name: str, right: NDArray[np.bool_], was_right: NDArray[np.bool_]) -> list[GateMeasure]:
    """The change of an accuracy; judged only where there are enough images to see a drop that is not allowed."""
    count = len(right)
    if not count:
        return []
    lost = int(was_right.sum()) - int(right.sum())
    enough = count >= ENOUGH_LABELLED
    return [
        GateMeasure(
            output=output,
            name=name,
            value=-lost / count,
            limit=-LARGEST_DROP if enough else None,
            images=count,
            passed=not enough or lost < LARGEST_DROP * count,
        )
    ]


def _of_masks(found: Batch, wanted: Batch, head: SegmenterInfo) -> list[GateMeasure]:
    clear = np.abs(wanted - head.threshold) > MASK_MARGIN
    dice = pooled_dice(clear & (found >= head.threshold), clear & (wanted >= head.threshold))
    return [_at_least("mask", "Dice of masks", dice, DICE, len(found))]
