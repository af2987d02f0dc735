"""What the report needs of ``probe.json``."""

from __future__ import annotations

from dataclasses import dataclass

from radiodino.runtime.typed_document import DocumentError

from .fractions import check_fractions
from .provenance import Source


@dataclass(frozen=True)
class ProbeRow:
    """One source of features at one image size."""

    model: str
    source: Source
    image_size: int
    accuracy: float
    f1: float
    converged: bool

    def __post_init__(self) -> None:
        check_fractions(self, "accuracy", "f1")


@dataclass(frozen=True)
class ProbeMean:
    """One source of features, over its image sizes."""

    model: str
    sizes: tuple[int, ...]
    accuracy: float
    f1: float

    def __post_init__(self) -> None:
        check_fractions(self, "accuracy", "f1")


@dataclass(frozen=True)
class ProbeSettings:
    """See `radiodino.train.probe.run.ProbeSettings`."""

    data: tuple[str, ...]


@dataclass(frozen=True)
class ProbeData:
    """Likewise."""

    per_split_and_class: dict[str, dict[str, int]]
    origin: str
    unreadable: dict[str, str]


@dataclass(frozen=True)
class ProbeResults:
    """See `radiodino.train.probe.run.ProbeRun`."""

    rows: tuple[ProbeRow, ...]
    means: tuple[ProbeMean, ...]

    def __post_init__(self) -> None:
        expected = [(mean.model, size) for mean in self.means for size in mean.sizes]
        if [(row.model, row.image_size) for row in self.rows] != expected:
            raise DocumentError("entry 'results.rows' does not hold the models and sizes of 'results.means' in order")


@dataclass(frozen=True)
class ProbeDocument:
    """``probe.json``."""

    settings: ProbeSettings
    data: ProbeData
    results: ProbeResults
    versions: dict[str, str]
