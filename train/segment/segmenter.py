"""Backbone and head as one module, and the file that holds both with all that an export has to know."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import get_variant

from ..backbone import build_backbone
from ..weights.trained import read_trained, save_trained
from .heads import HEADS, Head, build_head
from .tokens import patch_tokens

TASK = "segment"
SCHEMA = 1


class Segmenter(nn.Module):
    """A backbone with a segmentation head.

    Args:
        backbone: of `radiodino.train.backbone.build_backbone`.
        head: of `radiodino.train.segment.heads.build_head`, for that backbone.
    """

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the lesion, (N, S, S), of images (N, 3, S, S), float32, normalised; sigmoid: its probability."""
        logits: Tensor = self.head(patch_tokens(self.backbone, images), images)
        return logits


def save_segmenter(path: Path, segmenter: Segmenter, document: dict[str, Any]) -> None:
    """Write backbone, head and document to one file that `load_segmenter` and `load_weights` read.

    Args:
        path: the file, replaced where it is there.
        segmenter: what was trained.
        document: plain types; see `radiodino.train.segment.document.make_document`.

    Raises:
        OutputError: where it cannot be written.
    """
    save_trained(path, segmenter, document)


def load_segmenter(path: Path) -> tuple[Segmenter, dict[str, Any]]:
    """The segmenter in a file of `save_segmenter`, in evaluation mode on the CPU, and its document.

    The module takes images (N, 3, S, S), float32, normalised as ``document["preprocessing"]`` says, with S =
    ``document["image_size"]``, and gives mask logits (N, S, S); a pixel belongs to the lesion where their sigmoid is at
    least ``document["threshold"]``.

    Args:
        path: the file, or a folder that holds no other checkpoint.

    Raises:
        WeightsError: where there is no such file, or it is damaged or no segmenter.
        MemoryError: where it is larger than the memory that is free.
    """
    return segmenter_of(*read_trained(path))


def segmenter_of(model: object, document: object, name: str) -> tuple[Segmenter, dict[str, Any]]:
    """The segmenter in what `save_segmenter` writes.

    Args:
        model: the entry ``model``.
        document: the entry ``document``.
        name: of the file, for messages.

    Returns:
        As `load_segmenter`.

    Raises:
        WeightsError: where they are no segmenter.
    """
    if not isinstance(document, dict) or not isinstance(model, dict) or document.get("task") != TASK:
        raise WeightsError(f"{name} holds no segmenter: give a segmenter-*.pth of radiodino-train segment")
    if document.get("schema") != SCHEMA:
        raise WeightsError(
            f"{name} is a segmenter of schema {document.get('schema')} and this radiodino reads schema {SCHEMA}: "
            "install the version that wrote it, or train it again"
        )
    try:
        settings = dict(document["head"])
        kind, size = settings.pop("kind"), document["image_size"]
        threshold = document["threshold"]
        if kind not in HEADS or not isinstance(threshold, float) or not 0 < threshold < 1:
            raise WeightsError(f"the document of {name} is damaged: train the head again")
        with torch.device("meta"):  # without drawing initial weights only to replace them
            backbone = build_backbone(get_variant(document["variant"]), size)
        segmenter = Segmenter(backbone, build_head(kind, **settings))
        segmenter.load_state_dict(model, strict=True, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # of torch: entries missing, unknown, misshapen
        reason = " ".join(str(error).split())
        raise WeightsError(f"{name} is damaged or of another version ({reason}): train the head again") from error
    for entry, value in segmenter.state_dict().items():
        if value.is_floating_point() and not math.isfinite(float(value.sum())):
            raise WeightsError(f"the entry {entry} of {name} holds values that are not finite: train the head again")
    return segmenter.eval(), document
