"""The fingerprint of a run: everything that decides its numbers. A run goes on only where all of it is the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError

_FORMAT = "radiodino.journal/1"


def write_fingerprint(path: Path, fingerprint: Mapping[str, Any]) -> None:
    """Write `fingerprint`, JSON-able, to `path`; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT, "fingerprint": fingerprint}, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def refuse_other_fingerprint(path: Path, wanted: Mapping[str, Any]) -> None:
    """Say what in the fingerprint at `path` differs from `wanted`, which is as JSON gives it back.

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
    differences = "; ".join(_differences(found, wanted))
    if differences:
        raise OutputError(
            f"{path.parent} holds an unfinished run with other settings ({differences}): "
            "resume with the same settings, or begin again with --force"
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
