"""Heads with random weights on a random backbone, for measuring what a task costs where nobody trained one yet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import Variant

_CLASSES = ("a", "b", "c")


def random_head_files(variant: Variant, task: str, image_size: int, head: str, folder: Path) -> tuple[str, ...]:
    """Checkpoints for ``--weights`` of `task`, all on the same backbone.

    Args:
        variant: of the backbone.
        task: ``classify``, ``segment`` or ``classify+segment``.
        image_size: side in pixels.
        head: of a segmenter: ``paper`` or ``lite``.
        folder: where they are written.

    Raises:
        InputError: there is no such head, or the variant cannot have that size.
    """
    from radiodino.train.segment.heads import HEADS

    from ..segment_heads import random_segmenters

    if head not in HEADS:
        raise InputError(f"there is no segmentation head '{head}': choose {', '.join(HEADS)}")
    files = []
    for part in task.split("+"):
        if part == "classify":
            files.append(_random_classifier(variant, image_size, folder))
        else:
            files.append(random_segmenters(variant, image_size, folder)[list(HEADS).index(head)])
    return tuple(map(str, files))


def _random_classifier(variant: Variant, image_size: int, folder: Path) -> Path:
    from radiodino.runtime.model_info import Preprocessing
    from radiodino.train.classify.checkpoint import NAME, save_classifier
    from radiodino.train.classify.classifier import Classifier, new_head
    from radiodino.train.classify.document import SCHEMA
    from radiodino.train.weights.load import load_weights

    backbone, source = load_weights(variant, "random", image_size=image_size)
    card = asdict(Preprocessing(resize=(image_size, image_size)))
    document = {
        "task": "classify",
        "schema": SCHEMA,
        "variant": variant.name,
        "image_size": image_size,
        "classes": list(_CLASSES),
        "preprocessing": {name: list(value) if isinstance(value, tuple) else value for name, value in card.items()},
        "training_set": {"name": "none: random weights"},
        "weights": asdict(source),
        "temperature": 1.0,
        "thresholds": None,
        "metrics": {},
    }
    path = folder / NAME
    save_classifier(path, Classifier(backbone, new_head(variant.embedding_size, len(_CLASSES), 0)), document)
    return path
