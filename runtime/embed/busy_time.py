"""How long something was being done by at least one thread."""

from __future__ import annotations

from threading import Lock
from time import perf_counter
from types import TracebackType


class BusyTime:
    """A clock that runs while at least one thread is inside its context."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._since = self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """What the clock shows."""
        with self._lock:
            return self._seconds + (perf_counter() - self._since if self._inside else 0.0)

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._since = perf_counter()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._seconds += perf_counter() - self._since
