"""What differs where a file was replaced: its size and its time of change."""

from __future__ import annotations

import os
from pathlib import Path

ABSENT = (-1, -1)


def stamp(path: str | Path) -> tuple[int, int]:
    """Bytes and nanoseconds; (-1, -1) where the file cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return ABSENT
    return found.st_size, found.st_mtime_ns
