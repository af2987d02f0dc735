"""A path, bytes or binary stream as one seekable binary stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, TypeAlias

from .errors import InputError, UnreadableImageError

ByteSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"


def source_name(source: object) -> str | None:
    """The path behind `source` as the user wrote it, where there is one; it names the source in errors."""
    if isinstance(source, str | os.PathLike):
        return str(os.fspath(source))
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else None


@contextmanager
def opened(source: ByteSource) -> Iterator[BinaryIO]:
    """A seekable stream over all of `source`, positioned at its start.

    A stream of the caller is rewound to its start, and neither closed nor copied unless it cannot seek.

    Raises:
        UnreadableImageError: where a path cannot be opened, or nothing is in it.
        InputError: where a stream is closed or yields text.
    """
    if isinstance(source, str | os.PathLike):
        with _open(source) as stream:
            _refuse_empty(stream)
            yield stream
        return
    stream = BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else _seekable(source)
    _refuse_empty(stream)
    yield stream


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        reason = "there is no such file"
    except OSError as error:
        if os.path.isdir(path):
            reason = "it is a folder, not a file"
        else:
            reason = "permission denied" if isinstance(error, PermissionError) else f"{error.strerror or error}"
    except ValueError:  # a null byte
        reason = "it is no valid path"
    raise UnreadableImageError(reason, source_name(path))


def _seekable(stream: BinaryIO) -> BinaryIO:
    try:
        if not stream.seekable():
            return BytesIO(stream.read())
        stream.seek(0)
        head: object = stream.read(1)
    except (AttributeError, TypeError):  # not a stream at all, or one of text that cannot seek
        head = None
    except ValueError:
        raise InputError("the stream is closed: pass an open binary stream") from None
    except OSError as error:
        raise UnreadableImageError(f"it cannot be read ({error.strerror or error})", source_name(stream)) from error
    if not isinstance(head, bytes):
        raise InputError(
            f"expected a path, bytes or a stream opened in binary mode, but found {type(stream).__name__}: "
            "open the file with mode 'rb'"
        )
    stream.seek(0)
    return stream


def _refuse_empty(stream: BinaryIO) -> None:
    if stream.seek(0, os.SEEK_END) == 0:
        raise UnreadableImageError("the file is empty", source_name(stream))
    stream.seek(0)
