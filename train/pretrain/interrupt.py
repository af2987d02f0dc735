"""Ctrl-C heard at the end of a step: in its middle, the networks and the step's number do not belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether an interrupt has been asked for."""

    requested = False


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Remember SIGINT and SIGTERM instead of raising; a second one raises KeyboardInterrupt at once.

    Outside the main thread, where signals cannot be handled, nothing is changed.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def remember(_number: int, _frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
