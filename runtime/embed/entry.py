"""What a run records of each input that is done, and the line that a journal keeps of it."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One finished input."""

    name: str
    label: str
    frames: tuple[int | None, ...] = ()
    """For each row its frame, counted from 1; None where the file has a single image. Empty where it is unreadable."""
    notices: tuple[tuple[int, str], ...] = ()
    """What a user must know of a row: its position in `frames`, counted from 0, and the notice."""
    reason: str | None = None
    """Why the input is unreadable; None where it was read."""

    def row_name(self, position: int) -> str:
        """What the row at `position` (counted from 0) is called: the input, and the frame where there are several."""
        frame = self.frames[position]
        return self.name if frame is None else f"{self.name}#{frame}"

    def to_line(self, number: int, checksum: int) -> bytes:
        """A line of JSON.

        Args:
            number: of the line, counted from 0.
            checksum: CRC-32 of the rows.
        """
        document = {"item": number, **vars(self), "crc32": checksum}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes, number: int) -> tuple[Entry, int] | None:
        """The entry and the checksum of line `number`, or None where it is torn or not that line."""
        if not line.endswith(b"\n"):
            return None
        try:
            document = json.loads(line)
            if document["item"] != number:
                return None
            entry = cls(
                name=document["name"],
                label=document["label"],
                frames=tuple(document["frames"]),
                notices=tuple((position, notice) for position, notice in document["notices"]),
                reason=document["reason"],
            )
            return entry, document["crc32"]
        except (ValueError, TypeError, KeyError):
            return None
