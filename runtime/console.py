"""How every command of this package ends: errors as one sentence, exit status 2, never a traceback."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from .errors import RadioDinoError

USAGE_ERROR = 2
INTERRUPTED = 130


def run(app: typer.Typer) -> NoReturn:
    """Run a command line; what the user can cure is printed as one sentence with exit status 2."""
    try:
        app()
    except RadioDinoError as error:
        fail(str(error))
    except BrokenPipeError:  # the reader of our output left, as `head` does
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        fail(f"{error.filename or 'input/output'}: {error.strerror or error}")
    except MemoryError:
        fail("out of memory: choose a smaller --batch-size or variant")
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    sys.exit(0)


def fail(sentence: str, status: int = USAGE_ERROR) -> NoReturn:
    """Print `sentence` as an error and end with `status`."""
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(status)
