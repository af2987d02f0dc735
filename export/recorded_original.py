"""The PyTorch original that an exported file says it was made from, found again."""

from __future__ import annotations

from pathlib import Path

from radiodino.runtime.errors import InputError, ModelFileError, WeightsError
from radiodino.runtime.model_file import read_model_file
from radiodino.runtime.model_info import ClassifierInfo, ModelInfo, SegmenterInfo, Weights, parse_model_info
from radiodino.runtime.variants import get_variant
from radiodino.train.weights.demonstration_head import HEAD_FILES

from .original import Original, load_original
from .settings import ExportSettings


def recorded_info(path: Path) -> ModelInfo:
    """What an exported file says of itself.

    Raises:
        ModelFileError: the file is damaged, foreign, or altered.
    """
    file = read_model_file(path)
    if file.document is None:
        raise ModelFileError(f"{path} carries no radiodino metadata, so its original is unknown: export it again")
    return parse_model_info(file.document, path)


def recorded_original(path: Path, weights: str | tuple[str, ...] | None = None) -> tuple[ModelInfo, Original]:
    """What an exported file says of itself, and its original: the very weights, by their SHA-256.

    Args:
        path: what radiodino-export wrote.
        weights: the checkpoint it was made from, or the checkpoints of its heads in any order; None takes what the file
            records (published, demonstration or random weights).

    Raises:
        ModelFileError: the file is damaged, foreign, or altered.
        InputError: it was made from checkpoints, and these are not named.
        WeightsError: the weights cannot be had, or are not those the file was made from.
    """
    info = recorded_info(path)
    settings = ExportSettings(
        get_variant(info.variant),
        weights or _recorded_weights(info),
        task=info.task,
        seed=info.weights.seed or 0,
        checkpoint_key=info.weights.checkpoint_key,
        precision=info.precision,
        image_size=info.image_size,
    )
    settings.check_weights()
    original = load_original(settings)
    for made, there in zip(_heads(info), _heads(original), strict=True):
        if made.sha256 != there.sha256:
            raise WeightsError(
                f"{path} was made from {made.name} with SHA-256 {made.sha256}, and {there.name} has {there.sha256}: "
                "name the right file with --weights, or export it again"
            )
    _refuse_other_weights(path, info, original.weights)
    return info, original


def _refuse_other_weights(path: Path, info: ModelInfo, found: Weights) -> None:
    if found.sha256 == info.weights.sha256:
        return
    if found.kind == "random":
        raise WeightsError(
            f"the random weights of {path} cannot be drawn again with this torch and timm: it was made with torch "
            f"{info.tools.get('torch')} and timm {info.tools.get('timm')}"
        )
    if found.kind == "demo":
        raise WeightsError(
            f"{path} was made from demonstration weights with SHA-256 {info.weights.sha256}, and those of this "
            f"radiodino have {found.sha256}: export it again, or verify it with the radiodino that made it"
        )
    raise WeightsError(
        f"{path} was made from weights with SHA-256 {info.weights.sha256}, and these have {found.sha256}: "
        "name the right checkpoint with --weights"
    )


def _recorded_weights(info: ModelInfo) -> str:
    heads = [head.name for head in _heads(info)]
    if heads and set(heads) <= set(HEAD_FILES.values()):
        return "demo"
    if heads:
        raise InputError(f"this file was made from {' and '.join(heads)}: name {_each(heads)} with --weights")
    if info.weights.kind in ("published", "demo", "random"):
        return info.weights.kind
    raise InputError(f"this file was made from the checkpoint '{info.weights.name}': name it with --weights")


def _each(names: list[str]) -> str:
    return "it" if len(names) == 1 else "each"


def _heads(of: ModelInfo | Original) -> list[ClassifierInfo | SegmenterInfo]:
    pair = (of.classifier, of.segmenter) if isinstance(of, ModelInfo) else (of.classifier_info, of.segmenter_info)
    return [head for head in pair if head is not None]
