"""What this package wrote as JSON, read again: of the version it knows, and whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from radiodino.runtime.errors import InputError
from radiodino.runtime.typed_document import DocumentError, from_document

_T = TypeVar("_T")
Document = dict[str, Any]


def read_document(
    cls: type[_T],
    path: Path,
    *,
    schema: int,
    missing: str,
    noun: str,
    cure: str,
    complete: Callable[[Document], Document] = lambda document: document,
) -> _T:
    """The document at `path` as the dataclass `cls`.

    Args:
        cls: see `radiodino.runtime.typed_document.from_document`.
        path: the file.
        schema: the version that is read.
        missing: what there is none of where there is no file.
        noun: what such a document is called.
        cure: where to get one, for the end of each message.
        complete: what gives a document of an earlier version the entries that it lacks.

    Raises:
        InputError: there is no such file, or it is none, or of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {missing} {path}: {cure}") from None
    except (OSError, ValueError):
        raise InputError(f"{path} cannot be read as JSON: {cure}") from None
    if not isinstance(document, dict) or document.get("schema") != schema:
        raise InputError(f"{path} is no {noun} of schema {schema}: {cure}, of this version")
    try:
        return from_document(cls, complete(document))
    except DocumentError as error:
        raise InputError(f"{path} is no whole {noun} ({error}): {cure}") from None
