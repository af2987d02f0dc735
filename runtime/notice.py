"""What must be said wherever a result goes: what it is for, and of some weights that they are not the authors'."""

from __future__ import annotations

RESEARCH_USE = "research use only, not for diagnosis"
"""The mark of every result, as it stands within a sentence."""
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


def marked(said: str | None = None) -> str:
    """The mark of every result, and after it what else is `said`, such as a notice; it begins with a capital."""
    mark = RESEARCH_USE.capitalize()
    return f"{mark}; {said}" if said else mark
