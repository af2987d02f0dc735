"""What a classifier's file says of itself, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.model_info import INTENDED_USE, Preprocessing

from ..data.labelled import LabelledImages
from ..evaluate.metrics import classification_metrics
from ..settings import as_document
from ..weights.load import WeightsSource
from .calibration import best_temperature, probabilities
from .folds import Fold
from .history import History
from .recipe import Recipe
from .threshold import youden_threshold

SCHEMA = 1


def describe(
    recipe: Recipe,
    labelled: LabelledImages,
    inputs: Sequence[str],
    fold: Fold,
    number: int,
    source: WeightsSource,
    history: History,
    val_logits: NDArray[np.float32],
    test_logits: NDArray[np.float32],
) -> dict[str, Any]:
    """The document of one fold's classifier.

    Args:
        recipe: every number of the training.
        labelled: the images, classes and split.
        inputs: as typed; of their paths the last part alone is kept.
        fold: the images.
        number: of the fold, from 1.
        source: of the backbone's weights.
        history: of the training.
        val_logits: (V, C), of the images to validate on.
        test_logits: (T, C).

    Returns:
        ``task`` (``classify``), ``schema``, ``variant``, ``image_size``, ``classes`` (names, in the order of the
        logits), ``preprocessing``, ``training_set``, ``weights`` (where the backbone came from), ``recipe``, ``seed``,
        ``fold``, ``epochs``, ``best_epoch``, ``val_loss``, ``metrics`` (on the test images, by the largest logit,
        0..1), ``temperature`` and ``thresholds``: with p = softmax(logits / temperature), of two classes the second is
        said where p of it is at least ``thresholds[its name]``; for more classes None. Both were chosen on the
        validation images.
    """
    parts = {"train": fold.train, "val": fold.val, "test": fold.test}
    names = [Path(typed).name for typed in inputs]
    temperature = best_temperature(val_logits, labelled.targets[fold.val])
    return {
        "task": "classify",
        "schema": SCHEMA,
        "variant": recipe.variant,
        "image_size": recipe.image_size,
        "classes": list(labelled.classes),
        "preprocessing": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(Preprocessing(resize=(recipe.image_size, recipe.image_size))).items()
        },
        "training_set": {
            "name": ", ".join(names),
            "inputs": names,
            "images": {part: len(indices) for part, indices in parts.items()},
            "class_counts": {part: labelled.class_counts(indices) for part, indices in parts.items()},
            "split": labelled.origin,
            "unreadable": len(labelled.images.unreadable),
        },
        "weights": asdict(source),
        "recipe": as_document(recipe),
        "seed": recipe.seed,
        "fold": number,
        "epochs": len(history.rows),
        "best_epoch": history.best_epoch,
        "val_loss": history.best_loss,
        "metrics": classification_metrics(
            labelled.targets[fold.test], test_logits.argmax(axis=1), probabilities(test_logits)
        ),
        "temperature": temperature,
        "thresholds": _thresholds(labelled, fold, val_logits, temperature),
        "intended_use": INTENDED_USE,
        "versions": {name: metadata.version(name) for name in ("radiodino", "torch", "timm")},
    }


def _thresholds(
    labelled: LabelledImages, fold: Fold, logits: NDArray[np.float32], temperature: float
) -> dict[str, float] | None:
    if len(labelled.classes) != 2:
        return None
    scores = probabilities(logits, temperature)[:, 1]
    return {labelled.classes[1]: youden_threshold(scores, labelled.targets[fold.val] == 1)}
