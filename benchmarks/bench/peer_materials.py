"""What peers are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from radiodino.export.engine import Batch

from .subject import Subject


@dataclass(frozen=True, eq=False)
class Materials:
    """One network, and all that a peer may want beside it."""

    subject: Subject
    batch_size: int
    """Shapes are made static for so many images, as is best for each."""
    calibration: Sequence[Batch]
    """Network inputs, each (1, 3, S, S)."""
    images: str
    """In words: what these are."""
    folder: Path
    bf16: bool
    """Whether bf16 is worth a row."""

    @property
    def example(self) -> torch.Tensor:
        """A batch."""
        size = self.subject.original.image_size
        return torch.zeros(self.batch_size, 3, size, size)

    def place(self, name: str) -> Path:
        """A folder for one peer's files alone, so that their sizes add up to its."""
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        return folder


def whole_batches(materials: Materials) -> Iterator[Batch]:
    """The calibration images in batches of the static size; those over at the end are left out where there are some."""
    images, size = list(materials.calibration), materials.batch_size
    images *= -(-size // len(images))  # never less than one batch
    for start in range(0, len(images) - size + 1, size):
        yield np.concatenate(images[start : start + size])
