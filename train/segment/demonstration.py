"""The demonstration segmenter that comes with this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radiodino.runtime.variants import Variant

from ..weights.demonstration_head import demonstration_head
from .segmenter import Segmenter, segmenter_of


def demonstration_segmenter(variant: Variant) -> tuple[Segmenter, dict[str, Any], Path]:
    """The segmenter and its document, as `load_segmenter` gives them, and the head's file.

    Raises:
        WeightsError: as `radiodino.train.weights.demonstration_head.demonstration_head`.
    """
    model, document, file = demonstration_head("segment", variant)
    return *segmenter_of(model, document, file.name), file
