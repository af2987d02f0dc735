"""Many texts as two arrays that can be mapped: their bytes, and where each ends."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def pack(parts: Iterable[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """All bytes, uint8, and the end of each part, uint64 (n,)."""
    kept = list(parts)
    ends = np.cumsum([len(part) for part in kept], dtype=np.uint64)
    return np.frombuffer(b"".join(kept), np.uint8), ends


def part(data: NDArray[np.uint8], ends: NDArray[np.uint64], row: int) -> bytes:
    """Part number `row`."""
    return data[int(ends[row - 1]) if row else 0 : int(ends[row])].tobytes()
