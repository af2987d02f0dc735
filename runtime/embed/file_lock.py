"""A lock that keeps two runs from writing to one place."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import IO

from ..errors import OutputError


def take_lock(path: Path) -> IO[bytes]:
    """Lock the file `path` until what is returned is closed.

    Some network file systems have no locks; there it is as if nobody else wrote.

    Raises:
        OutputError: another run holds it.
        OSError: the file cannot be opened.
    """
    handle = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            handle.close()
            raise OutputError(
                f"another run is writing to {path.parent}: wait for it, or choose another --output"
            ) from error
    return handle
