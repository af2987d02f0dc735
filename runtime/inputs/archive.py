"""Opening zip archives, which ``.npz`` files are too."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InputError

ARCHIVE_ERRORS = (OSError, ValueError, RuntimeError, EOFError, KeyError, struct.error, zlib.error, zipfile.BadZipFile)
"""What `zipfile` and numpy raise on damaged ones."""


@contextmanager
def open_archive(path: str, kind: str, cure: str) -> Iterator[zipfile.ZipFile]:
    """The zip archive at `path`, for what is read from it in the block.

    Args:
        path: the file.
        kind: what a user calls such a file.
        cure: what a user can do again where it is damaged.

    Raises:
        InputError: it is damaged, or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path} is no readable {kind} ({said(error)}): {cure} it again") from error


def said(error: BaseException) -> str:
    """What `error` says, on one line; its type where it says nothing."""
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return " ".join(text.split())
