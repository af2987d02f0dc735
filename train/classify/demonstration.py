"""The demonstration classifier that comes with this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radiodino.runtime.variants import Variant

from ..weights.demonstration_head import demonstration_head
from .checkpoint import classifier_of
from .classifier import Classifier


def demonstration_classifier(variant: Variant) -> tuple[Classifier, dict[str, Any], Path]:
    """The classifier and its document, as `load_classifier` gives them, and the head's file.

    Raises:
        WeightsError: as `radiodino.train.weights.demonstration_head.demonstration_head`.
    """
    model, document, file = demonstration_head("classify", variant)
    return *classifier_of(model, document, file.name), file
