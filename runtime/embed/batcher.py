"""Frames of any inputs, put together into batches, and run beside what the caller does meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .busy_time import BusyTime
from .embedding_model import EmbeddingModel

Outputs: TypeAlias = "Mapping[str, NDArray[np.float32]]"
_Take: TypeAlias = "Callable[[Outputs], None]"


class Batcher:
    """Collects frames until a batch is full, has it run by threads, and gives the outputs to whom they belong.

    As many batches are in inference as the model runs at the same time; whoever adds one more waits for the first of
    them. Outputs are given in the order of the frames, by the thread that adds and waits. To be closed.

    Attributes:
        rows: rows computed so far.
        inference: the time in which there was inference.
    """

    def __init__(self, model: EmbeddingModel, size: int) -> None:
        self.rows = 0
        self.inference = BusyTime()
        self._model = model
        self._size = size
        self._waiting: list[tuple[NDArray[np.float32 | np.uint8], _Take]] = []
        self._running: deque[tuple[Future[Outputs], list[_Take]]] = deque()
        self._started = 0
        self._pool = ThreadPoolExecutor(model.parallel, thread_name_prefix="radiodino-inference")

    def add(self, pixels: NDArray[np.float32 | np.uint8], take: _Take) -> None:
        """Add a frame.

        Args:
            pixels: float32 (3, H, W).
            take: is given its outputs by name, without the batch, at the latest by `wait` for the next `start`.
        """
        self._waiting.append((pixels, take))
        if len(self._waiting) == self._size:
            self.start()

    def start(self) -> int:
        """Have the frames that are waiting run, as one batch.

        Returns:
            The batches that were started so far, for `wait`.
        """
        if self._waiting:
            while len(self._running) >= self._model.parallel:
                self._finish_first()
            batch = np.stack([pixels for pixels, _ in self._waiting])
            self._running.append((self._pool.submit(self._run, batch), [take for _, take in self._waiting]))
            self._waiting = []
            self._started += 1
        return self._started

    @property
    def done(self) -> int:
        """The batches whose outputs were given."""
        return self._started - len(self._running)

    def wait(self, started: int) -> None:
        """Wait until as many batches are done and their outputs given."""
        while self.done < started:
            self._finish_first()

    def close(self) -> None:
        """Wait for what is in inference, and drop it."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        with self.inference:
            return self._model.run(batch)

    def _finish_first(self) -> None:
        future, takes = self._running[0]
        outputs = future.result()
        self._running.popleft()
        for index, take in enumerate(takes):
            take({name: values[index] for name, values in outputs.items()})
        self.rows += len(takes)
