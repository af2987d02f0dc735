"""What a segmenter's file says of itself: all that an export has to know, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radiodino.runtime.model_info import INTENDED_USE, Preprocessing
from radiodino.runtime.variants import Variant

from ..weights.load import WeightsSource
from .heads import Head
from .loop import Trained
from .pairs import SplitPairs
from .recipe import SegmentRecipe
from .segmenter import SCHEMA, TASK


def make_document(
    *,
    variant: Variant,
    source: WeightsSource,
    head: Head,
    recipe: SegmentRecipe,
    inputs: Sequence[str],
    split: SplitPairs,
    trained: Trained,
    threshold: float,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """The document of `save_segmenter`, in plain types.

    Names of inputs and images are kept without their folders: the document travels with the file.
    """
    size = recipe.image_size
    card = asdict(Preprocessing(resize=(size, size)))
    return {
        "task": TASK,
        "schema": SCHEMA,
        "variant": variant.name,
        "embedding_size": variant.embedding_size,
        "patch": variant.patch,
        "position_interpolation": variant.position_interpolation,
        "head": {"kind": head.kind, **head.settings},
        "image_size": size,
        "preprocessing": {name: list(value) if isinstance(value, tuple) else value for name, value in card.items()},
        "classes": ["lesion"],
        "threshold": threshold,
        "threshold_origin": "of 0.05 to 0.95 in steps of 0.05, the highest mean Dice over the validation images",
        "training_set": {
            "name": ", ".join(Path(name).name for name in inputs),
            "counts": split.counts(),
            "split": split.origin,
            "skipped": [f"{Path(name).name}: {reason}" for name, reason in split.pairs.skipped.items()],
        },
        "training": {
            "recipe": recipe.document_of(head.kind),
            "seed": recipe.seed,
            "epochs": trained.epochs,
            "best_epoch": trained.best_epoch,
            "best_validation_loss": trained.best_loss,
        },
        "test_metrics": metrics,
        "weights": asdict(source),
        "intended_use": INTENDED_USE,
    }
