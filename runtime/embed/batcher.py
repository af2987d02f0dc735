"""Frames of any inputs, put together into batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .embedding_model import EmbeddingModel

_Take: TypeAlias = "Callable[[Mapping[str, NDArray[np.float32]]], None]"


class Batcher:
    """Collects frames until a batch is full, runs it, and gives the outputs to whom they belong.

    Attributes:
        rows: rows computed so far.
        seconds: wall-clock time that was spent in inference.
    """

    def __init__(self, model: EmbeddingModel, size: int) -> None:
        self.rows = 0
        self.seconds = 0.0
        self._model = model
        self._size = size
        self._waiting: list[tuple[NDArray[np.float32], _Take]] = []

    def add(self, pixels: NDArray[np.float32], take: _Take) -> None:
        """Add a frame.

        Args:
            pixels: float32 (3, H, W).
            take: is given its outputs by name, without the batch, at the latest by the next `flush`.
        """
        self._waiting.append((pixels, take))
        if len(self._waiting) == self._size:
            self.flush()

    def flush(self) -> None:
        """Run the frames that are waiting."""
        if not self._waiting:
            return
        started = perf_counter()
        outputs = self._model.run(np.stack([pixels for pixels, _ in self._waiting]))
        self.seconds += perf_counter() - started
        for index, (_, take) in enumerate(self._waiting):
            take({name: values[index] for name, values in outputs.items()})
        self.rows += len(self._waiting)
        self._waiting.clear()
