"""What the weights in a file descend from, as the file itself says, and what must therefore be said of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.notice import NOTICES, notice_of

from .read_checkpoint import safetensors_metadata

METADATA = "radiodino"
"""The entry of a safetensors file's metadata in which this package writes, as JSON: of a bundled backbone its notice,
of a bundled head its document."""


def stated_notice(file: Path, raw: Mapping[str, Any]) -> str | None:
    """What must be said of the weights in a file wherever they go, None where the file says nothing of the kind.

    Args:
        file: that `radiodino.train.weights.read_checkpoint.read_checkpoint` has read.
        raw: what it gave.

    Raises:
        WeightsError: where what the file says cannot be read.
    """
    document = raw.get("document")
    if isinstance(document, dict):
        return inherited_notice(document)
    told = safetensors_metadata(file).get(METADATA)
    if told is None:
        return None
    try:
        notice = json.loads(told).get("notice")
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"the metadata of {file.name} is damaged ({error}): copy or download it again") from error
    return notice if isinstance(notice, str) else None


def inherited_notice(document: Mapping[str, Any]) -> str | None:
    """What must be said of a trained head's backbone, after what its training was given.

    Weights that learnt are random no longer; demonstration weights stay such, whatever they learn.

    Args:
        document: of `radiodino.train.classify.document` or `radiodino.train.segment.document`.
    """
    origin = document.get("weights")
    if not isinstance(origin, dict):
        return None
    said = origin.get("notice")
    notice = said if isinstance(said, str) else notice_of(str(origin.get("kind")))
    return None if notice == NOTICES["random"] and not was_frozen(document) else notice


def was_frozen(document: Mapping[str, Any]) -> bool:
    """Whether the backbone under a head stayed what it was when the training began: always for a segmenter."""
    recipe = document.get("recipe")
    return document.get("task") == "segment" or (isinstance(recipe, dict) and recipe.get("freeze_backbone") is True)
