"""What a run found, as its files need it: in pieces, so that its size is not bounded by the memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .entry import Entry

CHUNK_ROWS = 8192
"""Rows that are in memory at once, and in one row group of a Parquet file."""


@dataclass(frozen=True)
class Results:
    """What a run found, in the order of its inputs."""

    embeddings: NDArray[np.float32]
    """float32 (n, D), on disk where it is large."""
    entries: Callable[[], Iterable[Entry]]
    """Each call goes through all inputs, the unreadable ones too."""
    provenance: Mapping[str, Any]
    """Which model, engine and settings made the rows; JSON-able."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Name and label of each row."""
        for entry in self.entries():
            for position in range(len(entry.frames)):
                yield entry.row_name(position), entry.label

    def frames(self) -> Iterator[int | None]:
        """The frame of each row, counted from 1; None where the file holds a single image."""
        return (frame for entry in self.entries() for frame in entry.frames)

    def chunks(self) -> Iterator[tuple[list[str], list[str], NDArray[np.float32]]]:
        """Names, labels and embeddings of `CHUNK_ROWS` rows at a time."""
        rows = self.rows()
        for first in range(0, len(self.embeddings), CHUNK_ROWS):
            names, labels = zip(*islice(rows, CHUNK_ROWS), strict=True)
            yield list(names), list(labels), np.asarray(self.embeddings[first : first + CHUNK_ROWS])

    def errors(self) -> Iterator[tuple[str, str]]:
        """Name and reason of each input that could not be read."""
        return ((entry.name, entry.reason) for entry in self.entries() if entry.reason is not None)

    def notices(self) -> Iterator[tuple[str, str]]:
        """Name and notice of each row that has one."""
        for entry in self.entries():
            for position, notice in entry.notices:
                yield entry.row_name(position), notice

    def row_notices(self) -> Iterator[str | None]:
        """The notice of each row, None where it has none."""
        for entry in self.entries():
            notices = dict(entry.notices)
            yield from (notices.get(position) for position in range(len(entry.frames)))

    def provenance_json(self, indent: int | None = None) -> str:
        """The provenance as text; equal ones give equal texts."""
        return json.dumps(self.provenance, indent=indent, ensure_ascii=False, sort_keys=True)
