"""Where weights came from, as the JSON files of all commands record it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """See `radiodino.train.weights.load.WeightsSource`."""

    kind: str
    name: str
    sha256: str
    licence: str | None
    detail: str
    notice: str | None = None


@dataclass(frozen=True)
class Source:
    """See `radiodino.train.features.source.FeatureSource.describe`."""

    kind: str
    source: str
    sha256: str | None
    licence: str | None
    detail: str
    device: str
    precision: str
    variant: str | None = None
    weights_kind: str | None = None
    """Of an exported file."""
    notice: str | None = None
