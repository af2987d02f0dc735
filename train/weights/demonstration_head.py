"""The heads among the demonstration weights: a classifier and a segmenter on the demonstration backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import Variant

from .demonstration import bundled_file, demonstration_backbone
from .descent import METADATA
from .load import load_weights

if TYPE_CHECKING:
    from torch import Tensor

HEAD_FILES = {"classify": "busi-classifier.safetensors", "segment": "busi-segmenter.safetensors"}
"""Which of the files is the head for a task."""
_WORDS = {"classify": "classification head", "segment": "segmentation head"}
_FILES = {
    "classify": "a classifier.pth of radiodino-train finetune",
    "segment": "a segmenter-*.pth of radiodino-train segment",
}


def demonstration_head(task: str, variant: Variant) -> tuple[dict[str, Tensor], dict[str, Any], Path]:
    """A bundled head with its backbone, as a checkpoint of its training holds them.

    Args:
        task: of `HEAD_FILES`.
        variant: which variant it must be.

    Returns:
        The entries ``backbone.…`` and ``head.…``, floating point as float32; the document; the head's file.

    Raises:
        WeightsError: where `variant` has no demonstration weights, they have no such head, or are damaged.
        MissingExtraError: where torch, timm or safetensors is not installed.
    """
    _, record = demonstration_backbone(variant)
    name = HEAD_FILES[task]
    if name not in record.files:
        raise WeightsError(
            f"the demonstration weights of this installation have no {_WORDS[task]} ({name}): give --weights and "
            f"{_FILES[task]}, or take another task"
        )
    path = bundled_file(name)
    require("export", "torch", "timm", "safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            head = {entry: opened.get_tensor(entry) for entry in opened.keys()}  # noqa: SIM118  # it is no dictionary
            document = json.loads((opened.metadata() or {})[METADATA])
        backbone, _ = load_weights(variant, "demo", image_size=document["image_size"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, InputError) as error:
        raise WeightsError(f"the head {path} cannot be read ({error}): install radiodino again") from error
    model = {f"backbone.{entry}": value for entry, value in backbone.state_dict().items()}
    model |= {f"head.{entry}": value.float() if value.is_floating_point() else value for entry, value in head.items()}
    return model, document, path
