"""What the report needs of ``finetune.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radiodino.runtime.typed_document import DocumentError

from .fractions import check_fractions
from .provenance import Weights


@dataclass(frozen=True)
class Mean:
    """Of a metric over the folds; no deviation of one fold."""

    mean: float
    sd: float | None

    def __post_init__(self) -> None:
        check_fractions(self, "mean", "sd")


@dataclass(frozen=True)
class TTest:
    """See `radiodino.train.classify.t_test.TTest`."""

    reference: float
    mean: float
    df: int
    t: float | None
    p: float | None

    def __post_init__(self) -> None:
        check_fractions(self, "reference", "mean", "p")


@dataclass(frozen=True)
class Metrics:
    """Over the folds; None where the test images leave one undefined."""

    accuracy: Mean
    precision: Mean
    recall: Mean
    f1: Mean
    auc: Mean | None


@dataclass(frozen=True)
class FoldRow:
    """One fold."""

    epochs: int
    best_epoch: int


@dataclass(frozen=True)
class FinetuneSettings:
    """See `radiodino.train.classify.run.finetune`."""

    recipe: dict[str, Any]
    weights: Weights

    def __post_init__(self) -> None:
        for name, kind in (("variant", str), ("image_size", int), ("freeze_backbone", bool)):
            if not isinstance(self.recipe.get(name), kind):
                problem = "of the wrong type" if name in self.recipe else "missing"
                raise DocumentError(f"entry 'settings.recipe.{name}' is {problem}")


@dataclass(frozen=True)
class FinetuneData:
    """Likewise."""

    inputs: tuple[str, ...]
    split: str
    class_counts: dict[str, dict[str, int]]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class FinetuneResults:
    """See `radiodino.train.classify.summary.summarise`."""

    folds: tuple[FoldRow, ...]
    metrics: Metrics
    t_tests: dict[str, TTest]


@dataclass(frozen=True)
class FinetuneDocument:
    """``finetune.json``."""

    settings: FinetuneSettings
    data: FinetuneData
    results: FinetuneResults
    versions: dict[str, str]
