"""Images that cannot be read, counted and named."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from radiodino.runtime.atomic import atomic_path

from ..weights.wording import some_of


def unreadable_sentence(unreadable: Mapping[str, str], listed: int) -> str | None:
    """One sentence that counts and names them, None where there are none.

    Args:
        unreadable: reasons by name.
        listed: how many images there were to read.
    """
    if not unreadable:
        return None
    named = some_of([f"{name} ({reason})" for name, reason in unreadable.items()])
    return f"{len(unreadable)} of {listed} images cannot be read and are left out: {named}"


def write_unreadable(unreadable: Mapping[str, str], path: Path) -> None:
    """A CSV table (name, reason) of them; where there are none, one without rows.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("name", "reason"), *unreadable.items()])
