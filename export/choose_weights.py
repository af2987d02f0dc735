"""Which weights an export takes, found out before PyTorch is imported: what cannot be had shall be said soon."""

from __future__ import annotations

from dataclasses import dataclass

from radiodino.runtime.errors import UnreachableWeightsError
from radiodino.runtime.variants import Variant
from radiodino.train.published.fetch import published_copy
from radiodino.train.weights.demonstration import demonstrates, demonstration_backbone


@dataclass(frozen=True)
class ChosenWeights:
    """What is exported, and why where it is not what an unsaid choice means."""

    weights: str
    """``published``, ``demo``, ``random``, or the path of a checkpoint."""
    fallback_reason: str | None = None
    """Why the published weights cannot be had, where the demonstration weights stand in for them; else None."""


def choose_weights(variant: Variant, asked: str | None) -> ChosenWeights:
    """The weights to export, fetched where need be.

    Args:
        variant: what is exported.
        asked: what the user named: exactly that is taken. None means the published weights; only where those are
            neither local nor reachable and `variant` has demonstration weights, these.

    Raises:
        UnreachableWeightsError: the published weights are neither local nor reachable.
        WeightsError: a local copy, a download or the demonstration weights are damaged, or there are none.
        OutputError: fetched weights cannot be stored.
        MissingExtraError: torch or huggingface_hub is needed and not installed.
    """
    if asked == "demo":
        demonstration_backbone(variant)
    if asked not in (None, "published"):
        return ChosenWeights(str(asked))
    try:
        published_copy(variant)
    except UnreachableWeightsError as error:
        if asked is None and demonstrates(variant):
            demonstration_backbone(variant)
            return ChosenWeights("demo", error.reason)
        raise
    return ChosenWeights("published")
