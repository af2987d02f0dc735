"""The class of an image, as a file's classification head says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model_info import ClassifierInfo, ModelInfo

LARGEST, THRESHOLD = "largest probability", "threshold"


@dataclass(frozen=True, eq=False)
class Classification:
    """Research use only, not for diagnosis."""

    label: str
    """The class that is said."""
    index: int
    """Its place in `classes`."""
    classes: tuple[str, ...]
    """All names, in the order of the numbers below."""
    probabilities: NDArray[np.float32]
    """float32 (C,), each within 0..1: softmax(logits / the file's temperature)."""
    logits: NDArray[np.float32]
    """float32 (C,)."""
    embedding: NDArray[np.float32]
    """float32 (D,), what the head was given."""
    decided_by: str
    """``largest probability``, or ``threshold``: of two classes the second is said where its probability is at least
    the file's threshold, so that the class said need not be the more probable one."""
    notice: str | None = None
    """What must be said of the file's weights wherever this goes; None where nothing must."""

    @property
    def probability(self) -> float:
        """Of the class that is said, within 0..1."""
        return float(self.probabilities[self.index])


def decide(probabilities: NDArray[np.float32], head: ClassifierInfo) -> tuple[int, str]:
    """The class to say and what decided it.

    Args:
        probabilities: float32 (C,).
        head: what the file says of its head.

    Returns:
        The index of the class, and `LARGEST` or `THRESHOLD`. Of equal probabilities the first counts.
    """
    if head.thresholds is None:
        return int(probabilities.argmax()), LARGEST
    # Both in float32: 0.3 in the file and 0.3 of the network are one number.
    return int(probabilities[1] >= np.float32(head.thresholds[head.classes[1]])), THRESHOLD


def classification(
    outputs: Mapping[str, NDArray[np.float32]], head: ClassifierInfo, notice: str | None
) -> Classification:
    """The classification of one image.

    Args:
        outputs: of the network, without the batch: ``probabilities`` and ``logits`` (C,), ``embedding`` (D,).
        head: what the file says of its head.
        notice: what must be said of its weights.
    """
    index, decided_by = decide(outputs["probabilities"], head)
    return Classification(
        label=head.classes[index],
        index=index,
        classes=head.classes,
        probabilities=outputs["probabilities"],
        logits=outputs["logits"],
        embedding=outputs["embedding"],
        decided_by=decided_by,
        notice=notice,
    )


def classification_beside(outputs: Mapping[str, NDArray[np.float32]], info: ModelInfo) -> Classification | None:
    """The classification that stands beside another answer for one image; None where the file does not classify.

    Args:
        outputs: of the network, without the batch.
        info: of the file.
    """
    return None if info.classifier is None else classification(outputs, info.classifier, info.notice)
