"""An exported file compared with its original again, later or on another machine."""

from __future__ import annotations

from pathlib import Path

from radiodino.runtime.errors import InputError, ModelFileError, WeightsError
from radiodino.runtime.model_file import read_model_file
from radiodino.runtime.model_info import ModelInfo, parse_model_info
from radiodino.runtime.variants import get_variant
from radiodino.train.weights.load import load_weights

from .pipeline import probe_batches
from .verify import Comparison, reference_outputs, refuse_failed, verify


def verify_file(path: Path, weights: str | None = None) -> list[Comparison]:
    """Repeat the verification of an exported file.

    Args:
        path: what radiodino-export wrote.
        weights: the checkpoint it was made from; None rebuilds it from what the file records (published,
            demonstration or random weights).

    Raises:
        ModelFileError: the file is damaged, foreign, or altered.
        WeightsError: the weights cannot be had, or are not those the file was made from.
        VerificationError: the file differs from its original.
    """
    file = read_model_file(path)
    if file.document is None:
        raise ModelFileError(f"{path} carries no radiodino metadata, so it cannot be verified: export it again")
    info = parse_model_info(file.document, path)
    backbone, source = load_weights(
        get_variant(info.variant),
        weights or _recorded_weights(info),
        image_size=info.image_size,
        seed=info.weights.seed or 0,
        checkpoint_key=info.weights.checkpoint_key,
    )
    if source.sha256 != info.weights.sha256 and source.kind == "random":
        raise WeightsError(
            f"the random weights of {path} cannot be drawn again with this torch and timm: it was made with torch "
            f"{info.tools.get('torch')} and timm {info.tools.get('timm')}"
        )
    if source.sha256 != info.weights.sha256 and source.kind == "demo":
        raise WeightsError(
            f"{path} was made from demonstration weights with SHA-256 {info.weights.sha256}, and those of this "
            f"radiodino have {source.sha256}: export it again, or verify it with the radiodino that made it"
        )
    if source.sha256 != info.weights.sha256:
        raise WeightsError(
            f"{path} was made from weights with SHA-256 {info.weights.sha256}, and these have {source.sha256}: "
            "name the right checkpoint with --weights"
        )
    batches = probe_batches(info.image_size)
    outputs = tuple(output.name for output in info.outputs)
    comparisons = verify(path, info.precision, reference_outputs(backbone, outputs, batches), batches)
    refuse_failed(comparisons, info.precision, "do not use it, and export it again")
    return comparisons


def _recorded_weights(info: ModelInfo) -> str:
    if info.weights.kind in ("published", "demo", "random"):
        return info.weights.kind
    raise InputError(f"this file was made from the checkpoint '{info.weights.name}': name it with --weights")
