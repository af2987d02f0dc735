"""What the report needs of a JSON file: strict about that, and blind to everything else in it."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union

from radiodino.runtime.errors import InputError
from radiodino.runtime.typed_document import DocumentError, from_document

_T = TypeVar("_T")


def read_json(path: Path) -> Any:
    """What is in a JSON file.

    Raises:
        InputError: where it cannot be read, or is no JSON; NaN and infinities are none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON file ({' '.join(str(error).split())}): make it again") from None


def needed(cls: type[_T], data: Any, path: Path, command: str, where: str = "") -> _T:
    """The part of `data` that the dataclass `cls` describes.

    Args:
        cls: as `radiodino.runtime.typed_document.from_document` takes it; it may raise a DocumentError where a value is
            out of its range. A field with a default may be missing.
        data: what `read_json` gave; entries that `cls` has no field for are left out, wherever they are.
        path: where it came from, for messages.
        command: what makes such a file, for messages.
        where: the entries that lead to `data`, with a dot at the end, for messages.

    Raises:
        InputError: where an entry is missing, of the wrong type, or out of its range.
    """
    try:
        return from_document(cls, _trimmed(cls, data), where)
    except DocumentError as error:
        raise InputError(
            f"{path} is not what {command} writes, {_sentence(error)}: make it again with this version, or leave its "
            "folder out"
        ) from None


def _sentence(error: DocumentError) -> str:
    text = str(error)
    return "it is no object" if text == "'' is no object" else text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _trimmed(hint: Any, value: Any) -> Any:
    """`value` without entries that no field asks for; anything unexpected stays, to be refused later."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        found = {}
        for field in dataclasses.fields(hint):
            if field.name in value:
                found[field.name] = _trimmed(hints[field.name], value[field.name])
            elif field.default is not dataclasses.MISSING:
                found[field.name] = field.default
        return found
    if origin in (Union, types.UnionType):
        return None if value is None else _trimmed(arguments[0], value)
    if origin is tuple and isinstance(value, list):
        return [_trimmed(arguments[0], one) for one in value]
    if origin is dict and isinstance(value, dict):
        return {key: _trimmed(arguments[1], one) for key, one in value.items()}
    return value
