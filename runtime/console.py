"""How every command of this package ends: errors as one sentence, exit status 2, never a traceback."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import typer

from .errors import RadioDinoError

USAGE_ERROR = 2
INTERRUPTED = 130

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # of unknown options, missing values and wrong types


def run(app: typer.Typer) -> NoReturn:
    """Run a command line; what the user can cure is printed as one sentence with exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a file name's letters shall not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(standalone_mode=False)
    except RadioDinoError as error:
        fail(str(error))
    except _UsageError as error:
        fail(f"{error.format_message().rstrip('.')}: see --help")  # type: ignore[attr-defined]
    except typer.Abort:
        fail("aborted", INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename or 'input/output'}: {error.strerror or error}")
    except MemoryError:
        fail("out of memory: choose a smaller --batch-size, --image-size or variant")
    if status == INTERRUPTED:
        fail("interrupted", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def fail(sentence: str, status: int = USAGE_ERROR) -> NoReturn:
    """Print `sentence` as an error and end with `status`."""
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(status)
