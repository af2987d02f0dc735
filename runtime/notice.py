"""What must be said of weights that are not the authors', wherever a file or a number made with them goes."""

from __future__ import annotations

NOTICES: dict[str, str] = {
    # kind of the weights (`radiodino.runtime.model_info.Weights.kind`) → one sentence for people
    "random": (
        "random weights: this network has learned nothing and its outputs mean nothing; use it only to try the tools "
        "out"
    ),
    "demo": (
        "demonstration weights: a demonstration, not Radio DINO's weights, not for clinical use; trained on few public "
        "images, so that the tools can be tried where the published weights cannot be had"
    ),
}


def notice_of(kind: str) -> str | None:
    """The notice that weights of `kind` carry; None where they are what their name says."""
    return NOTICES.get(kind)
