"""JSON or YAML data as frozen dataclasses, strictly: nothing missing, nothing unknown, each entry of its type."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union

_T = TypeVar("_T")


class DocumentError(ValueError):
    """One entry is missing, unknown or of the wrong type."""


def from_document(cls: type[_T], data: Any, where: str = "") -> _T:
    """`data` as the dataclass `cls`.

    Args:
        cls: a dataclass of strings, numbers, booleans, tuples, dictionaries, optional values and dataclasses.
        data: what a JSON or YAML parser gave.
        where: the entries that lead here, for messages.

    Raises:
        DocumentError: where an entry is missing, unknown or of the wrong type.
    """
    if not isinstance(data, dict):
        raise DocumentError(f"'{where}' is no object")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for name in sorted(set(names) ^ set(data)):
        raise DocumentError(f"entry '{where}{name}' is {'missing' if name in names else 'unknown'}")
    return cls(**{name: _convert(hints[name], data[name], f"{where}{name}") for name in names})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return from_document(hint, value, f"{where}.")  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        variadic = arguments[-1] is Ellipsis
        if variadic or len(value) == len(arguments):
            kinds = [arguments[0]] * len(value) if variadic else arguments
            return tuple(_convert(kind, item, where) for kind, item in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool) == isinstance(value, bool):
        return value
    raise DocumentError(f"entry '{where}' is of the wrong type")
