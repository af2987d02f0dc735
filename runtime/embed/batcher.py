"""Frames of any inputs, put together into batches."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from .embedding_model import EmbeddingModel


class Batcher:
    """Collects frames until a batch is full, runs it, and gives each row to the input of its frame.

    Attributes:
        rows: rows computed so far.
        seconds: wall-clock time that was spent in inference.
    """

    def __init__(self, model: EmbeddingModel, size: int) -> None:
        self.rows = 0
        self.seconds = 0.0
        self._model = model
        self._size = size
        self._waiting: list[tuple[NDArray[np.float32], list[NDArray[np.float32]]]] = []

    def add(self, pixels: NDArray[np.float32], rows: list[NDArray[np.float32]]) -> None:
        """Add a frame.

        Args:
            pixels: float32 (3, H, W).
            rows: where its row, float32 (D,), is put, at the latest by the next `flush`.
        """
        self._waiting.append((pixels, rows))
        if len(self._waiting) == self._size:
            self.flush()

    def flush(self) -> None:
        """Run the frames that are waiting."""
        if not self._waiting:
            return
        started = perf_counter()
        embeddings = self._model.run(np.stack([pixels for pixels, _ in self._waiting]))["embedding"]
        self.seconds += perf_counter() - started
        for (_, rows), embedding in zip(self._waiting, embeddings, strict=True):
            rows.append(embedding)
        self.rows += len(self._waiting)
        self._waiting.clear()
