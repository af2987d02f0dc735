"""Settings as frozen dataclasses over typed defaults, changed by YAML files and ``name=value``, strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from radiodino.runtime.errors import InputError
from radiodino.runtime.typed_document import DocumentError, from_document

_S = TypeVar("_S")

ANY = float("inf")
"""No upper bound, for `check_settings`."""


def load_settings(path: Path, base: _S, *, hint: str) -> _S:
    """`base` with what the YAML file at `path` changes.

    Args:
        path: the file.
        base: a dataclass, of dataclasses, numbers, strings, booleans and tuples.
        hint: where a user finds all entries, for messages: ``see radiodino-train pretrain --show for all of them``.

    Raises:
        InputError: where the file is no YAML, or an entry is unknown or of the wrong type.
    """
    import yaml

    try:
        changes = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read the recipe {path}: {' '.join(str(error).split())}") from None
    return changed_settings(base, changes, str(path), hint=hint)


def set_settings(base: _S, settings: Sequence[str], *, example: str, hint: str) -> _S:
    """`base` with the changes ``name=value``; a dot leads into a dataclass within.

    Args:
        base: see `load_settings`.
        settings: the changes, in their order.
        example: one that is right, for messages: ``teacher.temperature=0.07``.
        hint: see `load_settings`.

    Raises:
        InputError: where one has no such form, or its name is unknown, or its value of the wrong type.
    """
    import yaml

    document = as_document(base)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise InputError(f"'{setting}' is no setting: give name=value, for example {example}")
        *parents, last = name.split(".")
        try:
            change: dict[str, Any] = {last: yaml.safe_load(text)}
        except yaml.YAMLError as error:
            raise InputError(f"'{setting}' has no readable value: {' '.join(str(error).split())}") from None
        for parent in reversed(parents):
            change = {parent: change}
        _merge_or_refuse(document, change, f"--set {setting}", hint)
    return _built(type(base), document, "--set", hint)  # once all are in: one may only make sense with another


def changed_settings(base: _S, changes: object, where: str, *, hint: str) -> _S:
    """`base` with a part of its entries changed.

    Args:
        base: see `load_settings`.
        changes: entries by name, those of a dataclass within as entries of their own.
        where: what to call the changes in messages.
        hint: see `load_settings`.

    Raises:
        InputError: where an entry is unknown or of the wrong type.
    """
    document = as_document(base)
    _merge_or_refuse(document, changes, where, hint)
    return _built(type(base), document, where, hint)


def as_document(settings: Any) -> dict[str, Any]:
    """A dataclass as plain dictionaries, lists, strings and numbers."""
    return {item.name: _plain(getattr(settings, item.name)) for item in dataclasses.fields(settings)}


def check_settings(
    settings: object, choices: Mapping[str, Sequence[str]], ranges: Mapping[str, tuple[float, float]]
) -> None:
    """See that entries have values that make sense.

    Args:
        settings: a dataclass.
        choices: what an entry may be, by its name; a dot leads into a dataclass within.
        ranges: the smallest and the largest value of an entry, likewise.

    Raises:
        InputError: where one has another value.
    """
    for name, allowed in choices.items():
        value = _entry(settings, name)
        if value not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, not '{value}'")
    for name, (low, high) in ranges.items():
        value = _entry(settings, name)
        if not low <= value <= high:
            raise InputError(f"{name} must lie between {low:g} and {high:g}, not at {value:g}")


def _built(cls: type[_S], document: dict[str, Any], where: str, hint: str) -> _S:
    try:
        return from_document(cls, document)
    except DocumentError as error:
        raise InputError(f"{where}: {error}; {hint}") from None


def _merge_or_refuse(document: dict[str, Any], changes: object, where: str, hint: str) -> None:
    try:
        _merge(document, changes, "")
    except DocumentError as error:
        raise InputError(f"{where}: {error}; {hint}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_document(value)
    return value


def _merge(document: dict[str, Any], changes: object, where: str) -> None:
    if not isinstance(changes, dict):
        raise DocumentError(f"'{where or 'the recipe'}' is no set of entries")
    for name, value in changes.items():
        if name not in document:
            raise DocumentError(f"entry '{where}{name}' is unknown")
        if isinstance(document[name], dict):
            _merge(document[name], value, f"{where}{name}.")
        else:
            # YAML reads 1e-4 as text, because its numbers need a dot: what was a number stays one.
            document[name] = _number(value) if isinstance(document[name], float) else value


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _entry(settings: object, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
