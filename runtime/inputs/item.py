"""One image of a list, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray


class Inside(Protocol):
    """Where an image lies inside a file."""

    @property
    def file(self) -> str:
        """The file on disk."""

    def load(self) -> bytes | NDArray[Any]:
        """The bytes of an image file, or an array (H, W) or (H, W, 3). Thread-safe.

        Raises:
            UnreadableImageError: it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a list: a file, a member of a zip archive, or one image of an image set."""

    name: str
    label: str
    source: str | Inside
    """The path of the file, or where in a file it lies."""

    @property
    def file(self) -> str:
        """The file on disk that holds it."""
        return self.source if isinstance(self.source, str) else self.source.file

    def load(self) -> Path | BytesIO | NDArray[Any]:
        """What `decode` takes: a path, a stream of the member's bytes, or an array (H, W) or (H, W, 3). Thread-safe.

        Raises:
            UnreadableImageError: the member or the image set is damaged, encrypted or too large.
        """
        if isinstance(self.source, str):
            return Path(self.source)
        content = self.source.load()
        return _NamedBytes(content, self.name) if isinstance(content, bytes) else content


class _NamedBytes(BytesIO):
    """The bytes of a member with its name, by whose suffix a DICOM file without its preamble is known."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def printable(text: str) -> str:
    """`text` as it can be written in UTF-8; a file name may hold bytes that are none."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
