"""What a head's document says, checked, as it travels in an exported file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any, TypeVar

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.model_info import ClassifierInfo, Preprocessing, SegmenterInfo, Weights
from radiodino.runtime.typed_document import DocumentError, from_document
from radiodino.runtime.variants import Variant
from radiodino.train.weights.load import WeightsSource

KINDS = ("demo", "random", "published", "file")
"""Of a backbone's weights, those first that say most of them."""


def check_head_document(document: dict[str, Any], name: str, variant: Variant) -> None:
    """See that a head was trained for `variant`, on images as an exported file prepares them.

    Args:
        document: of `load_classifier` or `load_segmenter`.
        name: of its file, for messages.
        variant: of the export.

    Raises:
        InputError: where it is another variant.
        WeightsError: where it says otherwise of patch or preprocessing.
    """
    if document["variant"] != variant.name:
        raise InputError(
            f"{name} is of the variant '{document['variant']}', not of '{variant.name}': give --variant "
            f"{document['variant']}"
        )
    if document.get("patch", variant.patch) != variant.patch:
        raise WeightsError(
            f"{name} has patches of {document['patch']} px, expected the {variant.patch} px of '{variant.name}': "
            "train the head again"
        )
    size = document["image_size"]
    wanted = json.loads(json.dumps(asdict(Preprocessing(resize=(size, size)))))
    if document.get("preprocessing") != wanted:
        raise WeightsError(
            f"{name} was trained with another preprocessing than this radiodino exports, expected {wanted}, found "
            f"{document.get('preprocessing')}: train the head again"
        )


def classifier_info(document: dict[str, Any], name: str, sha256: str) -> ClassifierInfo:
    """What an exported file says of a classifier.

    Args:
        document: of `radiodino.train.classify.checkpoint.load_classifier`.
        name: of its file.
        sha256: of that file.

    Raises:
        WeightsError: where the document lacks or mistypes an entry, or a value makes no sense.
    """
    info = _typed(
        ClassifierInfo,
        name,
        classes=document["classes"],
        temperature=document.get("temperature"),
        thresholds=document.get("thresholds"),
        training_set=_training_set(document),
        metrics=document.get("metrics", {}),
        name=name,
        sha256=sha256,
    )
    if len(set(info.classes)) != len(info.classes):
        raise WeightsError(f"two classes of {name} have one name ({', '.join(info.classes)}): fine-tune again")
    if not (info.temperature > 0 and math.isfinite(info.temperature)):
        raise WeightsError(f"the temperature of {name} is {info.temperature}, expected above 0: fine-tune again")
    for label, threshold in (info.thresholds or {}).items():
        if len(info.classes) != 2 or label != info.classes[1] or not 0 <= threshold <= 1:
            raise WeightsError(
                f"the thresholds of {name} are {info.thresholds}, expected one within 0..1 for the second of two "
                "classes: fine-tune again"
            )
    return info


def segmenter_info(document: dict[str, Any], name: str, sha256: str) -> SegmenterInfo:
    """What an exported file says of a segmenter.

    Args:
        document: of `radiodino.train.segment.segmenter.load_segmenter`.
        name: of its file.
        sha256: of that file.

    Raises:
        WeightsError: as `classifier_info`.
    """
    classes = document.get("classes")
    if not isinstance(classes, list) or len(classes) != 1:
        raise WeightsError(f"{name} segments {classes}, expected one label: train the head again")
    return _typed(
        SegmenterInfo,
        name,
        label=classes[0],
        threshold=document["threshold"],
        head=document["head"]["kind"],
        training_set=_training_set(document),
        metrics=document.get("test_metrics", {}),
        name=name,
        sha256=sha256,
    )


def weights_info(source: WeightsSource, *, seed: int | None = None, checkpoint_key: str | None = None) -> Weights:
    """What an exported file says of where its weights came from; their notice it says beside that."""
    return Weights(
        kind=source.kind,
        name=source.name,
        sha256=source.sha256,
        licence=source.licence,
        detail=source.detail,
        seed=seed,
        checkpoint_key=checkpoint_key,
    )


def origin_of(document: dict[str, Any], name: str) -> Weights:
    """Where the backbone under a head came from, as its document says.

    Raises:
        WeightsError: where the document does not say.
    """
    source = _typed(WeightsSource, name, **{"notice": None, **_entries(document.get("weights"))})
    if source.kind not in KINDS:
        raise WeightsError(
            f"the document of {name} says that its backbone is of the kind '{source.kind}', expected one of "
            f"{', '.join(KINDS)}: train the head again"
        )
    seed = document.get("seed", _entries(document.get("training")).get("seed"))
    return weights_info(source, seed=seed if source.kind == "random" and isinstance(seed, int) else None)


def _training_set(document: dict[str, Any]) -> object:
    return _entries(document.get("training_set")).get("name")


def _entries(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_T = TypeVar("_T")


def _typed(cls: type[_T], file: str, /, **entries: Any) -> _T:
    try:
        return from_document(cls, entries)
    except DocumentError as error:
        raise WeightsError(
            f"the document of {file} is damaged or of another version ({error}): train the head again"
        ) from None
