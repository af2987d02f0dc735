"""A head with its backbone, opened from a checkpoint that states its own task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import Variant
from radiodino.train.classify.checkpoint import classifier_of
from radiodino.train.classify.demonstration import demonstration_classifier
from radiodino.train.segment.demonstration import demonstration_segmenter
from radiodino.train.segment.segmenter import segmenter_of
from radiodino.train.weights.read_checkpoint import find_checkpoint
from radiodino.train.weights.sha256 import file_sha256
from radiodino.train.weights.trained import read_trained

_HEADS: dict[str, Any] = {"classify": classifier_of, "segment": segmenter_of}
_DEMONSTRATIONS = {"classify": demonstration_classifier, "segment": demonstration_segmenter}


@dataclass(frozen=True)
class OpenedHead:
    """One head with its backbone."""

    task: str
    """``classify`` or ``segment``."""
    module: Any
    """`radiodino.train.classify.classifier.Classifier` or `radiodino.train.segment.segmenter.Segmenter`, in evaluation
    mode on the CPU."""
    document: dict[str, Any]
    """What its training said of it."""
    name: str
    """Of its file."""
    sha256: str
    """Likewise."""


def open_head(path: Path) -> OpenedHead:
    """The head in a file of ``radiodino-train finetune`` or ``segment``, by the task that it states.

    Args:
        path: the file, or a folder that holds no other checkpoint.

    Raises:
        WeightsError: where there is no such file, it is damaged, or holds no head.
        MemoryError: where it is larger than the memory that is free.
    """
    file = find_checkpoint(path)
    model, document, name = read_trained(file)
    task = document.get("task") if isinstance(document, dict) else None
    if not isinstance(task, str) or task not in _HEADS:
        raise WeightsError(
            f"{name} holds no head: give a classifier.pth of radiodino-train finetune or a segmenter-*.pth of "
            "radiodino-train segment, or export with --task embed"
        )
    module, document = _HEADS[task](model, document, name)
    return OpenedHead(task, module, document, name, file_sha256(file))


def open_demonstration_head(task: str, variant: Variant) -> OpenedHead:
    """The bundled head for `task`.

    Raises:
        WeightsError: where `variant` has no demonstration weights, they have no such head, or are damaged.
    """
    module, document, file = _DEMONSTRATIONS[task](variant)
    return OpenedHead(task, module, document, file.name, file_sha256(file))
