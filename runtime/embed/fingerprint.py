"""The fingerprint of a run: everything that decides its numbers. A run goes on only where all of it is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..atomic import atomic_path
from ..errors import OutputError

_FORMAT = "radiodino.journal/1"


def write_fingerprint(path: Path, fingerprint: Mapping[str, Any]) -> None:
    """Write `fingerprint`, JSON-able, to `path`; the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    document = {"format": _FORMAT, "fingerprint": fingerprint}
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")


def refuse_other_fingerprint(path: Path, wanted: Mapping[str, Any]) -> None:
    """Say what in the fingerprint at `path` differs from `wanted`, which is as JSON gives it back.

    What stands under ``inputs`` is of the images; all the rest are settings.

    Raises:
        OutputError: something differs, or the file is damaged.
    """
    try:
        document = json.loads(path.read_bytes())
        found = document["fingerprint"] if document["format"] == _FORMAT else None
    except (ValueError, TypeError, KeyError):
        found = None
    if not isinstance(found, dict):
        raise OutputError(f"{path} is damaged or of another version: begin again with --force")
    differences = list(_differences(found, wanted))
    changed = {"inputs" if what.startswith("inputs") else "settings" for what in differences}
    if differences:
        raise OutputError(
            f"{path.parent} holds an unfinished run, and the {' and '.join(sorted(changed))} changed since it began "
            f"({'; '.join(differences)}): resume with the same, or begin again with --force"
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key, "absent"), now.get(key, "absent")
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} was {_shown(old)} and is {_shown(new)}"


def _shown(value: Any) -> str:
    text = str(value)
    is_checksum = len(text) == 64 and text.isalnum()
    return f"{text[:12]}…" if is_checksum else text
