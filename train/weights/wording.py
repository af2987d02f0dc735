"""Long lists and foreign messages, cut to fit into one sentence of an error."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

_NAMES = 3
_CHARACTERS = 300


def some_of(names: Collection[str]) -> str:
    """The first three names, and how many more there are: ``a, b, c and 6 more``."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(islice(names, _NAMES)) + more


def one_line(text: str) -> str:
    """The beginning of a message, at most 300 characters, on one line."""
    return " ".join(text.split())[:_CHARACTERS]
