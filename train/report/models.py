"""The models behind the numbers: what they are called, where their weights came from, what must be said of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from radiodino.runtime.notice import notice_of
from radiodino.runtime.variants import VARIANTS

from .provenance import Source, Weights

_STATED = re.compile(r"(\d+(?:\.\d+)?) M parameters")  # `radiodino.train.features.timm_model`
_RESIZED = re.compile(r"(?:; )?position table resized[^;]*")  # `radiodino.train.weights.backbone_state`


@dataclass(frozen=True)
class Model:
    """One network with its weights, an exported file, or what stands in for them."""

    name: str
    kind: str
    """See `radiodino.train.features.source.FeatureSource.describe`."""
    sha256: str | None
    licence: str | None
    detail: str
    """Of the weights: what was taken of a checkpoint."""
    notice: str | None
    """What must be said wherever its numbers go, see `radiodino.runtime.notice`."""
    parameters: float | None
    """Of the backbone, in millions; 0 of what has none, None where it is not known."""


def from_source(source: Source, model: str) -> Model:
    """The model of a row of ``knn`` or ``probe``, which calls it `model`."""
    name = model if source.variant is None else f"{source.variant} · {source.source}"
    return _model(name, source.weights_kind or source.kind, source.kind, source, source.variant)


def from_weights(weights: Weights, variant: str) -> Model:
    """The backbone of a run of ``finetune``, ``segment`` or ``explain``."""
    return _model(f"{variant} · {weights.name}", weights.kind, weights.kind, weights, variant)


def _model(name: str, weights_kind: str, kind: str, origin: Source | Weights, variant: str | None) -> Model:
    return Model(
        name=name,
        kind=kind if kind == weights_kind else f"{kind}, weights {weights_kind}",
        sha256=origin.sha256,
        licence=origin.licence,
        detail=_RESIZED.sub("", origin.detail),  # it differs between image sizes, with the same weights
        notice=origin.notice or notice_of(weights_kind),
        parameters=_parameters(kind, origin.detail, variant),
    )


def _parameters(kind: str, detail: str, variant: str | None) -> float | None:
    if kind == "pixels":
        return 0.0
    if variant in VARIANTS:
        return VARIANTS[variant].parameters
    stated = _STATED.search(detail)
    return float(stated[1]) if stated else None


class Register:
    """Gives each model a number, the same wherever it comes up."""

    def __init__(self) -> None:
        self.models: list[Model] = []

    def number(self, model: Model) -> int:
        """From 1, in the order in which they came up."""
        if model not in self.models:
            self.models.append(model)
        return self.models.index(model) + 1

    def called(self, model: Model) -> str:
        """Its name with its number, as tables show it: ``tiny · random, seed 0 (M2)``."""
        return f"{model.name} (M{self.number(model)})"
