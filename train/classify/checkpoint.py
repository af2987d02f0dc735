"""The file of a fine-tuned classifier: its weights, and a document that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

from ..backbone import build_backbone, entry_shapes
from ..weights.check_entries import check_entries, check_finite, check_variant
from ..weights.trained import read_trained, save_trained
from .classifier import Classifier

NAME = "classifier.pth"
_BACKBONE = "backbone."


def save_classifier(path: Path, classifier: Classifier, document: dict[str, Any]) -> None:
    """Write a classifier; `torch.load(…, weights_only=True)` reads it, and so does ``--weights`` of every command.

    Args:
        path: a `NAME` in an existing folder; a file there is replaced.
        classifier: its weights are written as ``model``: ``backbone.…``, ``head.weight`` and ``head.bias``, float32.
        document: plain dictionaries, lists, strings, numbers and None, see `radiodino.train.classify.document`.

    Raises:
        OutputError: where it cannot be written.
    """
    save_trained(path, classifier, document)


def load_classifier(path: Path | str) -> tuple[Classifier, dict[str, Any]]:
    """A classifier as ``radiodino-train finetune`` wrote it, and its document.

    Args:
        path: the file, or a folder that holds no other checkpoint.

    Returns:
        The module in evaluation mode, on the CPU: images (N, 3, S, S), float32, normalised as the document's
        ``preprocessing`` says, to logits (N, C); its ``backbone`` and ``head`` are modules of their own. And the
        document of `radiodino.train.classify.document`.

    Raises:
        WeightsError: where there is no such file, it is damaged, or holds no classifier.
        MemoryError: where it is larger than the memory that is free.
    """
    return classifier_of(*read_trained(Path(path)))


def classifier_of(model: object, document: object, name: str) -> tuple[Classifier, dict[str, Any]]:
    """The classifier in what `save_classifier` writes.

    Args:
        model: the entry ``model``.
        document: the entry ``document``.
        name: of the file, for messages.

    Returns:
        As `load_classifier`.

    Raises:
        WeightsError: where they are no classifier.
    """
    if not isinstance(model, dict) or not isinstance(document, dict) or document.get("task") != "classify":
        raise WeightsError(
            f"{name} holds no classifier, expected one that radiodino-train finetune wrote: give its {NAME}"
        )
    variant, image_size, classes = _stated(document, name)
    _check_types(model, name)
    state = {entry.removeprefix(_BACKBONE): value for entry, value in model.items() if entry.startswith(_BACKBONE)}
    check_variant(state, variant, name)
    check_entries(state, entry_shapes(variant, image_size), variant, name)
    check_finite(model, name)
    with torch.device("meta"):
        built = Classifier(build_backbone(variant, image_size), nn.Linear(variant.embedding_size, classes))
    _check_shapes(model, built.state_dict(), name)
    built.load_state_dict(model, strict=True, assign=True)
    return built.eval(), document


def _stated(document: dict[str, Any], name: str) -> tuple[Variant, int, int]:
    """Variant, image size and number of classes."""
    variant, size, classes = (document.get(entry) for entry in ("variant", "image_size", "classes"))
    known = VARIANTS.get(variant) if isinstance(variant, str) else None
    if known is None or not isinstance(size, int) or not _are_names(classes):
        raise WeightsError(
            f"the document of {name} says variant {variant!r}, image size {size!r} and classes {classes!r}, expected "
            f"one of {', '.join(VARIANTS)}, a number of pixels, and the names of at least two classes: fine-tune again"
        )
    try:
        known.grid(size)
    except InputError as error:
        raise WeightsError(f"the document of {name} does not fit its variant: {error}") from None
    return known, size, len(classes)


def _are_names(classes: object) -> TypeGuard[list[str]]:
    return isinstance(classes, list) and len(classes) > 1 and all(isinstance(name, str) for name in classes)


def _check_types(model: dict[str, Any], name: str) -> None:
    for entry, value in model.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{name}: '{entry}' is no tensor but {type(value).__name__}: fine-tune again")
        if value.dtype != torch.float32:
            stored = str(value.dtype).removeprefix("torch.")
            raise WeightsError(f"{name}: '{entry}' is stored as {stored}, expected float32: fine-tune again")


def _check_shapes(model: dict[str, Any], wanted: dict[str, Tensor], name: str) -> None:
    """See that the entries are those of the built network: of the head, and the size of the position table."""
    found = {entry: tuple(value.shape) for entry, value in model.items()}
    expected = {entry: tuple(value.shape) for entry, value in wanted.items()}
    for entry in sorted(found.keys() | expected.keys()):
        if found.get(entry) != expected.get(entry):
            raise WeightsError(
                f"{name}: '{entry}' has the shape {found.get(entry)}, expected {expected.get(entry)} after its "
                "document: the two do not belong together, fine-tune again"
            )
