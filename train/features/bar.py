"""What shows progress: called with a word, it gives a context whose callable is told (done, total)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Bar: TypeAlias = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""`radiodino.runtime.progress.progress_bar` is one."""


@contextmanager
def no_bar(_what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows nothing."""
    yield lambda _done, _total: None
