"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def atomic_path(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` when the block ends well, and is removed when not.

    Args:
        target: where the finished file shall be; its folder must exist.
        overwrite: whether an existing `target` may be replaced.

    Raises:
        OutputError: where `target` exists and may not be replaced, or cannot be written (read-only folder, full disk).
    """
    refuse_existing(target, overwrite=overwrite)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Say early, before any work is done, that `target` could not be written.

    Raises:
        OutputError: where `target` is a folder, exists and may not be replaced, or lies in no writable folder.
    """
    if target.is_dir():
        raise OutputError(f"{target} is a folder: name a file to write")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already: add --force to replace it, or choose another --output")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist: create it, or choose another --output")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"the folder {target.parent} is not writable: choose another --output")


def _to_disk(path: Path) -> None:
    """Without this, a power cut just after the rename could leave an empty file under the final name."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
