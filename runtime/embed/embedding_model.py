"""What a run asks of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class ModelInfo(Protocol):
    """What a run asks of a model's description."""

    @property
    def embedding_size(self) -> int:
        """D."""


class EmbeddingModel(Protocol):
    """What a run asks of a model; `radiodino.runtime.Model` is one."""

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself."""

    @property
    def preprocess(self) -> Callable[[Image.Image], NDArray[np.float32 | np.uint8]]:
        """8-bit image → what `run` takes of one, (3, H, W); thread-safe."""

    @property
    def parallel(self) -> int:
        """As many threads may call `run` at the same time; at least 1."""

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        """Images as `preprocess` gives them, (B, 3, H, W) → ``embedding`` float32 (B, D), finite."""

    def provenance(self) -> Mapping[str, Any]:
        """What decides the numbers, JSON-able, the same each time."""
