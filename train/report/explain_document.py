"""What the report needs of ``explain.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radiodino.runtime.typed_document import DocumentError

from .fractions import check_fractions
from .provenance import Weights
from .segment_document import Overlap


@dataclass(frozen=True)
class ExplainSettings:
    """See `radiodino.train.explain.settings.Settings`."""

    variant: str
    weights: Weights
    device: str


@dataclass(frozen=True)
class ExplainData:
    """See `radiodino.train.explain.run.explain`."""

    inputs: tuple[str, ...]
    masks: tuple[str, ...]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class ExplainDocument:
    """``explain.json``; each of `results` is a `DrawnPicture`, that of Grad-CAM a `GradCamPicture`."""

    settings: ExplainSettings
    data: ExplainData
    results: dict[str, dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True)
class DrawnPicture:
    """One picture."""

    file: str
    image_size: int
    images: Any
    """A number, or one entry for each."""

    def __post_init__(self) -> None:
        if not isinstance(self.images, (int, list)) or isinstance(self.images, bool):
            raise DocumentError("entry 'images' is of the wrong type")

    @property
    def count(self) -> int:
        """How many images it is of."""
        return self.images if isinstance(self.images, int) else len(self.images)


@dataclass(frozen=True)
class GradCamOverlap:
    """With the masks, see `radiodino.train.segment.metrics.summary`."""

    all: Overlap
    lesions: Overlap
    by_class: dict[str, Overlap]


@dataclass(frozen=True)
class Classifier:
    """What Grad-CAM explains: the classifier's own record of its backbone's weights, where it has one."""

    weights: Weights | None = None


@dataclass(frozen=True)
class GradCamPicture:
    """What there is beside a `DrawnPicture`'s entries."""

    threshold: float
    target: str
    classifier: Classifier
    overlap: GradCamOverlap | None = None

    def __post_init__(self) -> None:
        check_fractions(self, "threshold")
