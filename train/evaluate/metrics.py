"""Classification metrics as the paper reports them (section 3.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.extras import require


def classification_metrics(
    targets: NDArray[np.int64], predictions: NDArray[np.int64], scores: NDArray[Any] | None = None
) -> dict[str, float | None]:
    """Accuracy, and precision, recall and F1 as plain means over the classes ("macro"), in 0..1.

    Args:
        targets: (N,), int64: the true class of each image.
        predictions: (N,), int64.
        scores: (N, C), floating point: probabilities of all C classes, each row's sum being 1; for the area under the
            ROC curve (two classes: of the second; more: one against the rest, mean over classes). None: no AUC.

    Returns:
        ``accuracy``, ``precision``, ``recall``, ``f1`` and, where scores are given, ``auc``: None where `targets` do
        not hold every class, which leaves it undefined. A class that is never predicted has a precision of 0.
    """
    require("train", "sklearn")
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

    precision, recall, f1, _ = precision_recall_fscore_support(targets, predictions, average="macro", zero_division=0)
    found: dict[str, float | None] = {
        "accuracy": float(accuracy_score(targets, predictions)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }
    if scores is not None:
        count = scores.shape[1]
        if len(np.unique(targets)) < count:
            found["auc"] = None
        elif count == 2:
            found["auc"] = float(roc_auc_score(targets, scores[:, 1]))
        else:
            found["auc"] = float(roc_auc_score(targets, scores, multi_class="ovr", average="macro"))
    return found
