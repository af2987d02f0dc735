"""Work done ahead in threads, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .errors import InputError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def prefetch(
    items: Iterable[_Item], function: Callable[[_Item], _Result], workers: int, depth: int
) -> Generator[_Result, None, None]:
    """`function` of each item, computed ahead by a pool of threads and yielded in the order of the items.

    The iterator is lazy: nothing runs before the first result is asked for, and `items` (of any length, also endless)
    is drawn from by the consumer's thread alone, never more than `depth` ahead. What `function` or `items` raises is
    raised in its place, after all earlier results, and ends the iteration. Closing the iterator (``close()``, or
    ``contextlib.closing``), an error or an interrupt drops what has not begun, waits for what has, and leaves no
    thread behind.

    Args:
        items: what to work on.
        function: called in a thread of the pool, once for each item; must be thread-safe.
        workers: threads, at least 1.
        depth: results finished or under way and not yet handed out, at least 1; this bounds the memory.

    Raises:
        InputError: `workers` or `depth` is below 1.
    """
    for name, value in (("workers", workers), ("depth", depth)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    return _prefetch(items, function, workers, depth)


def _prefetch(
    items: Iterable[_Item], function: Callable[[_Item], _Result], workers: int, depth: int
) -> Generator[_Result, None, None]:
    source = iter(items)
    ahead: deque[Future[_Result]] = deque()
    failure: Exception | None = None
    drained = False
    pool = ThreadPoolExecutor(min(workers, depth), thread_name_prefix="radiodino-prefetch")
    try:
        while True:
            while not drained and len(ahead) < depth:
                try:
                    item = next(source)
                except StopIteration:
                    drained = True
                except Exception as error:  # belongs behind the results that are still ahead of it
                    failure, drained = error, True
                else:
                    ahead.append(pool.submit(function, item))
            if not ahead:
                break
            yield ahead.popleft().result()
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
