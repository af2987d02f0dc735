"""What a run makes of each frame: always a row of numbers, and with some kinds of run files beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.item import Item
from ..inputs.listing import Listing
from .entry import Entry
from .input_frames import ReadyFrame


class RowMaker(ABC):
    """Makes the rows of one run, all from one thread. Files beside the rows are whole before a row is recorded."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Floats in a row."""

    @property
    def needs_frames(self) -> bool:
        """Whether `row` needs the decoded frames, and a user what must be known of their scale."""
        return False

    @property
    def options(self) -> Mapping[str, Any]:
        """What decides the rows and files beside the options of every run; JSON-able, part of the provenance."""
        return {}

    def begin(self, listing: Listing) -> None:  # noqa: B027  # most have nothing to prepare
        """A run begins, or goes on, with these inputs; called first."""

    def start_afresh(self) -> None:  # noqa: B027  # nor to clear away
        """Nothing of an earlier run is gone on with: what it left counts for nothing."""

    @abstractmethod
    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The row of one frame.

        Args:
            item: the input it is of.
            frame: with the decoded frame, where it `needs_frames`.
            outputs: the network's for this frame, without the batch.

        Returns:
            float32 (`size`,).

        Raises:
            OutputError: a file cannot be written.
        """

    def finished(self, item: Item, entry: Entry, rows: NDArray[np.float32]) -> str | None:  # noqa: ARG002
        """All frames of an input have their row and are about to be recorded.

        Returns:
            What could not be done for it, as a notice; None where nothing.
        """
        return None

    def dropped(self, item: Item, frames: tuple[int | None, ...]) -> None:  # noqa: B027  # nor to undo
        """An input turned out to be unreadable after these of its frames had their rows: they count for nothing."""

    def is_whole(self, item: Item, entry: Entry) -> bool:  # noqa: ARG002
        """Whether the files of an input that an earlier run recorded are all there."""
        return True


class EmbeddingRows(RowMaker):
    """A row is the embedding."""

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """D."""
        return self._size

    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:  # noqa: ARG002
        """The embedding."""
        return outputs["embedding"]
