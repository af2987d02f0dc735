"""Metrics are written as fractions of 1: one in per cent would be read a hundred times too large."""

from __future__ import annotations

from typing import Any

from radiodino.runtime.typed_document import DocumentError


def check_fractions(entry: Any, *names: str) -> None:
    """See that the attributes `names` of a part of a document lie in 0..1, or are None.

    Raises:
        DocumentError: where one does not.
    """
    for name in names:
        value = getattr(entry, name)
        if value is not None and not 0 <= value <= 1:
            raise DocumentError(f"entry '{name}' is {value:g} where a fraction from 0 to 1 is expected")
