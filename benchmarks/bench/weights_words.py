"""Whose weights are measured, in words, so that none are taken for Radio DINO's that are not."""

from __future__ import annotations

from pathlib import Path

from radiodino.runtime.notice import NOTICES, notice_of

NAMED = {"random": "random", "demo": "demonstration (not Radio DINO's)", "published": "published"}
"""How weights are said that have a name of their own."""


def in_words(named: tuple[str, ...], notice: str | None) -> str:
    """What stands in `radiodino.benchmarks.bench.work.Work.weights`.

    Args:
        named: ``random``, ``demo``, ``published`` or files.
        notice: of `radiodino.runtime.notice`, what must be said of the weights in files.
    """
    if len(named) == 1 and named[0] in NAMED:
        return NAMED[named[0]]
    files = ", ".join(Path(name).name for name in named)
    kind = next((kind for kind, sentence in NOTICES.items() if sentence == notice), None)
    return files if kind is None else f"{files}: {NAMED[kind]}"


def notice_in(words: str) -> str | None:
    """What must be said of weights that `in_words` told of; None where they are what their name says."""
    kind = next((kind for kind in NOTICES if words.split(": ")[-1] == NAMED[kind]), "")
    return notice_of(kind)
