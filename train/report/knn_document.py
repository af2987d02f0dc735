"""What the report needs of ``knn.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .fractions import check_fractions
from .provenance import Source


@dataclass(frozen=True)
class KnnRow:
    """One source of features at one k."""

    model: str
    source: Source
    image_size: int
    gallery: int
    queries: int
    k: int
    accuracy: float
    precision: float
    recall: float
    f1: float

    def __post_init__(self) -> None:
        check_fractions(self, "accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class KnnSettings:
    """See `radiodino.train.knn.task.TaskSettings`."""

    data: tuple[str, ...]
    gallery_data: tuple[str, ...]
    query_data: tuple[str, ...]
    gallery: tuple[str, ...]
    queries: tuple[str, ...]
    temperature: Any


@dataclass(frozen=True)
class Part:
    """Gallery or queries."""

    images: int


@dataclass(frozen=True)
class KnnData:
    """See `radiodino.train.knn.task.Task.describe`."""

    gallery: Part
    queries: Part
    origin: str
    unreadable: dict[str, str]


@dataclass(frozen=True)
class KnnResults:
    """See `radiodino.train.knn.run.KnnRun`."""

    rows: tuple[KnnRow, ...]


@dataclass(frozen=True)
class KnnDocument:
    """``knn.json``."""

    settings: KnnSettings
    data: KnnData
    results: KnnResults
    versions: dict[str, str]
