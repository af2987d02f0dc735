"""What the report needs of ``segment.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radiodino.runtime.typed_document import DocumentError

from .fractions import check_fractions
from .provenance import Weights


@dataclass(frozen=True)
class Overlap:
    """Of a group of images; None where it is empty. See `radiodino.train.segment.metrics.summary`."""

    images: int
    dice: float | None
    iou: float | None

    def __post_init__(self) -> None:
        check_fractions(self, "dice", "iou")


@dataclass(frozen=True)
class SegmentHead:
    """One head on the frozen backbone."""

    parameters: int
    gmacs: float
    threshold: float
    epochs: int
    best_epoch: int
    all: Overlap
    lesions: Overlap
    no_lesion: Overlap


@dataclass(frozen=True)
class SegmentSettings:
    """See `radiodino.train.segment.run.segment`."""

    variant: str
    weights: Weights
    image_size: int
    device: str
    empty_masks: str
    recipe: dict[str, Any] | None = None


@dataclass(frozen=True)
class SegmentData:
    """Likewise."""

    inputs: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    split: str
    skipped: dict[str, str]

    def __post_init__(self) -> None:
        for split, counts in self.counts.items():
            if "images" not in counts:
                raise DocumentError(f"entry 'data.counts.{split}.images' is missing")


@dataclass(frozen=True)
class SegmentResults:
    """Likewise."""

    backbone_gmacs: float
    heads: dict[str, SegmentHead]


@dataclass(frozen=True)
class SegmentDocument:
    """``segment.json``."""

    settings: SegmentSettings
    data: SegmentData
    results: SegmentResults
    versions: dict[str, str]
