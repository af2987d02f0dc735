r"""The file that holds an index: named arrays, one after the other, that are mapped and not read.

| bytes                       | hold                                                                                |
|-----------------------------|-------------------------------------------------------------------------------------|
| 0 … 15                      | ``RadioDINO index\n``                                                                |
| 16 … 31                     | where the document begins and how long it is, two unsigned little-endian 64-bit     |
| 32 … 63                     | SHA-256 of the document                                                             |
| 64 …                        | the arrays, each little-endian, filled up with zeros to a multiple of 64 bytes      |
| the last                    | the document, JSON: what the index says of itself, and the table of the arrays      |

It is one file and no folder, so that it is copied, moved and replaced as a whole. The arrays' SHA-256 stand in the
document and are verified on opening, so that no cut file and no flipped bit is searched. Pictures are the exception:
they may be many times the size of the rest and few of them are looked at, so each has a checksum of its own, which is
verified when it is read (`radiodino.runtime.index.case_index`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexFileError
from ..typed_document import from_document

MAGIC = b"RadioDINO index\n"
FORMAT = "radiodino.index/1"
_HEAD = struct.Struct("<16sQQ32s")
_PIECE = 2**22
_KINDS = ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1")


@dataclass(frozen=True)
class Section:
    """Where one array lies."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """In bytes, a multiple of 64."""
    sha256: str | None
    """Of its bytes and the zeros that follow; None where its parts have checksums of their own."""

    @property
    def size(self) -> int:
        """Bytes, without the zeros that follow."""
        size = np.dtype(self.dtype).itemsize
        for length in self.shape:
            size *= length
        return size

    @property
    def end(self) -> int:
        """Where the zeros that follow end."""
        return self.offset + self.size + -self.size % _HEAD.size


class ContainerWriter:
    """Writes arrays and then the document; a context manager.

    Args:
        path: the file, which becomes valid with `finish`.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(bytes(_HEAD.size))
        self._sections: list[Section] = []

    def add(
        self, name: str, dtype: str, row: tuple[int, ...], chunks: Iterable[NDArray[Any]], *, checked: bool = True
    ) -> None:
        """Write an array in pieces.

        Args:
            name: of the array.
            dtype: one of the little-endian ones.
            row: the shape of one row.
            chunks: arrays (n, *row).
            checked: whether it is verified on opening.
        """
        offset, count, digest = self._file.tell(), 0, sha256()
        for chunk in chunks:
            if chunk.shape[1:] != row:
                raise ValueError(f"{name}: {chunk.shape} is no chunk of rows {row}")
            data = np.ascontiguousarray(chunk, dtype).tobytes()
            digest.update(data)
            self._file.write(data)
            count += len(chunk)
        section = Section(name, dtype, (count, *row), offset, None)
        zeros = bytes(section.end - offset - section.size)
        digest.update(zeros)
        self._file.write(zeros)
        self._sections.append(Section(name, dtype, (count, *row), offset, digest.hexdigest() if checked else None))

    def finish(self, document: Mapping[str, Any]) -> None:
        """Write the document, JSON-able, and the head."""
        whole = {"format": FORMAT, **document, "sections": [asdict(section) for section in self._sections]}
        data = json.dumps(whole, ensure_ascii=False, sort_keys=True).encode()
        offset = self._file.tell()
        self._file.write(data)
        self._file.seek(0)
        self._file.write(_HEAD.pack(MAGIC, offset, len(data), sha256(data).digest()))

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def read_container(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The document and the arrays of a file, verified.

    Args:
        path: what `ContainerWriter` wrote.

    Returns:
        The document without its format and table, and the arrays by their names, mapped from the disk, read-only.

    Raises:
        IndexFileError: the file is missing, is no index, is damaged or of another version.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            size = file.seek(0, 2)
            if head[: len(MAGIC)] != MAGIC:
                raise IndexFileError(f"{path} is no index of cases: make one with radiodino-run index")
            if len(head) < _HEAD.size:
                raise _damaged(path, "it is cut off")
            _, offset, length, digest = _HEAD.unpack(head)
            if offset + length != size:
                raise _damaged(path, f"{offset + length} bytes are expected and {size} are there")
            file.seek(offset)
            data = file.read(length)
    except FileNotFoundError:
        raise IndexFileError(f"there is no file {path}: make an index with radiodino-run index") from None
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror or error}") from error
    if sha256(data).digest() != digest:
        raise _damaged(path, "the checksum of its document differs")
    try:
        document = json.loads(data)
        if (version := document.pop("format")) != FORMAT:
            raise IndexFileError(
                f"{path} is of the format {version} and this radiodino reads {FORMAT}: build the index again"
            )
        sections = [from_document(Section, entry) for entry in document.pop("sections")]
    except (ValueError, TypeError, KeyError) as error:  # a DocumentError is a ValueError
        raise _damaged(path, str(error)) from None
    whole = np.memmap(path, np.uint8, "r")
    end = _HEAD.size
    for section in sections:
        if section.offset != end or section.dtype not in _KINDS or section.end > offset:
            raise _damaged(path, f"its array '{section.name}' is misplaced")
        end = section.end
        _verify(path, section, whole[section.offset : end])
    if end != offset:
        raise _damaged(path, "bytes belong to none of its arrays")
    return document, {section.name: _array(section, whole) for section in sections}


def _verify(path: Path, section: Section, data: NDArray[np.uint8]) -> None:
    if section.sha256 is None:
        if data[section.size :].any():
            raise _damaged(path, f"the end of its array '{section.name}' differs")
        return
    digest = sha256()
    for start in range(0, len(data), _PIECE):
        digest.update(data[start : start + _PIECE].data)
    if digest.hexdigest() != section.sha256:
        raise _damaged(path, f"the checksum of its array '{section.name}' differs")


def _array(section: Section, whole: NDArray[np.uint8]) -> NDArray[Any]:
    array: NDArray[Any] = whole[section.offset : section.offset + section.size].view(section.dtype)
    return np.asarray(array).reshape(section.shape)


def _damaged(path: Path, why: str) -> IndexFileError:
    return IndexFileError(f"{path} is damaged or was altered ({why}): copy it again, or build the index again")
