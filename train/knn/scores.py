"""What k nearest neighbours got right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluate.metrics import classification_metrics


def score(targets: NDArray[np.int64], predictions: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro precision, recall and F1, and the recall of each class, in 0..1.

    Args:
        targets: (N,), N ≥ 1: the true class of each query.
        predictions: (N,).
        classes: names of all classes.

    Returns:
        See `classification_metrics`; and ``per_class_recall`` by the name of the class, None for a class that no query
        is of.
    """
    recalls: dict[str, float | None] = {}
    for place, name in enumerate(classes):
        own = predictions[targets == place]
        recalls[name] = float(np.mean(own == place)) if len(own) else None
    return {**classification_metrics(targets, predictions), "per_class_recall": recalls}
