"""Names of the files that are written for the images of a run: short, safe on every system, and never two alike."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile

from ..errors import InputError
from ..inputs.item import Item

_LONGEST = 100
"""Bytes of a name, of the 255 that file systems take."""
_SUFFIXES = {
    *(".dcm", ".dicom", ".ima"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Windows takes them for devices, whatever the suffix."""


class OutputNames:
    """The names for the inputs of one run; the same inputs always have the same.

    A name is the input's path below the folder that all inputs share, joined by ``_`` and without the suffix of an
    image; of a file with several frames it ends in ``#FRAME``. Where two inputs would have one name, or a name would
    be too long, it ends in part of the SHA-256 of the input's own name.

    Raises:
        InputError: two inputs would have one name all the same.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        names = [item.name for item in items]
        folders = [name.split("/")[:-1] for name in names]
        ends = zip(min(folders), max(folders), strict=False) if folders else ()  # what these share, all share
        self._shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], ends))
        counts = Counter(_key(self._plain(name)) for name in names)
        self._several = frozenset(key for key, count in counts.items() if count > 1)
        final = Counter(_key(self._of(name)) for name in names)
        for key, count in final.items():
            if count > 1:
                raise InputError(f"{count} inputs would have their results in files called {key}: rename one of them")

    def of(self, item: Item, frame: int | None) -> str:
        """The name for one frame of an input, without a suffix."""
        name = self._of(item.name)
        return name if frame is None else f"{name}#{frame}"

    def _of(self, name: str) -> str:
        plain = self._plain(name)
        short = plain.encode()[:_LONGEST].decode(errors="ignore")
        if short == plain and _key(plain) not in self._several:
            return plain
        return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def _plain(self, name: str) -> str:
        parts = name.split("/")[self._shared :]
        stem, suffix = os.path.splitext(parts[-1])
        joined = "_".join(filter(None, [*parts[:-1], stem if suffix.lower() in _SUFFIXES and stem else parts[-1]]))
        plain = "".join(_safe(unicodedata.normalize("NFC", joined))).strip(". _") or "image"
        return f"_{plain}" if plain.split(".")[0].lower() in _RESERVED else plain


def _safe(text: str) -> Iterator[str]:
    """Letters and digits of any script, and what no system minds; all else becomes ``_``."""
    return (character if character.isalnum() or character in "-_.+=" else "_" for character in text)


def _key(name: str) -> str:
    """What names have in common that some file systems take for one."""
    return unicodedata.normalize("NFC", name.casefold())
