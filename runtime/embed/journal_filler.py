"""From the list of inputs to a full journal: decoding beside inference, and recording what is done."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice, repeat
from time import perf_counter
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableImageError
from ..inputs.listing import Listing
from ..prefetch import prefetch
from .batcher import Batcher
from .embedding_model import EmbeddingModel
from .entry import Entry
from .input_frames import FrameReader, Prepared, ReadyFrame
from .journal import Journal

_Value = TypeVar("_Value")


class Progress(Protocol):
    """Is told how far a run is, from the thread that called it."""

    def __call__(self, done: int, total: int, /) -> None:
        """Of `total` inputs, `done` are finished; called first with what was resumed."""


class JournalFiller:
    """Fills a journal with the inputs it lacks.

    Args:
        model: what embeds.
        reader: what reads the inputs.
        journal: what is filled.
        batch_size: frames per inference, and inputs that are recorded together, at most.
        strict: whether to end at the first input that cannot be read.
        workers: threads that read.
        progress: is told how far the run is.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        reader: FrameReader,
        journal: Journal,
        *,
        batch_size: int,
        strict: bool,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self._size = model.info.embedding_size
        self._reader = reader
        self._journal = journal
        self._batch_size = batch_size
        self._batcher = Batcher(model, batch_size)
        self._strict = strict
        self._workers = workers
        self._progress = progress
        self._waiting = self._seconds = 0.0

    def fill(self, listing: Listing) -> None:
        """Embed and record what of `listing` the journal lacks.

        Raises:
            OutputError: the journal cannot be written.
            UnreadableImageError: with `strict`, the first input that cannot be read.
        """
        started = perf_counter()
        self._tell(len(listing))
        missing = islice(listing.items, self._journal.finished, None)
        # While one group is in inference, the next is being prepared.
        prepared = prefetch(missing, self._reader.prepare, self._workers, self._batch_size + self._workers)
        with closing(prepared):
            while group := list(islice(self._waited_for(prepared), self._batch_size)):
                read = [self._embed(one) for one in group]
                self._batcher.flush()
                self._journal.append([(entry, self._stack(rows)) for entry, rows in read])
                self._tell(len(listing))
        self._seconds = perf_counter() - started

    def shares(self) -> dict[str, float]:
        """Where the time went: ``rows_per_second``, ``waiting_share`` and ``inference_share`` of a `RunSummary`."""
        seconds = self._seconds if self._batcher.rows else float("inf")  # all are 0 where nothing was computed
        return {
            "rows_per_second": self._batcher.rows / seconds,
            "waiting_share": self._waiting / seconds,
            "inference_share": self._batcher.seconds / seconds,
        }

    def _tell(self, total: int) -> None:
        if self._progress is not None:
            self._progress(self._journal.finished, total)

    def _embed(self, prepared: Prepared) -> tuple[Entry, list[NDArray[np.float32]]]:
        """The entry of an input and the list that its rows are put into, at the latest when the batcher is flushed."""
        item = prepared.item
        numbers: list[int | None] = []
        notices: list[tuple[int, str]] = []
        rows: list[NDArray[np.float32]] = []
        try:
            with closing(self._frames(prepared)) as frames:
                for ready in frames:
                    if ready.notice is not None:
                        notices.append((len(numbers), ready.notice))
                    numbers.append(ready.number)
                    self._batcher.add(ready.pixels, rows)
        except UnreadableImageError as error:
            if self._strict:
                raise UnreadableImageError(error.reason, item.name) from error
            return Entry(item.name, item.label, reason=error.reason), []
        return Entry(item.name, item.label, tuple(numbers), tuple(notices)), rows

    def _frames(self, prepared: Prepared) -> Generator[ReadyFrame, None, None]:
        if prepared.error is not None:
            raise prepared.error
        if prepared.frames is not None:
            yield from prepared.frames
            return
        frames = self._reader.frames(prepared.item)
        with closing(prefetch(repeat(None), lambda _: next(frames, None), 1, self._batch_size + 1)) as ahead:
            for ready in self._waited_for(ahead):
                if ready is None:
                    return
                yield ready

    def _stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack(rows) if rows else np.empty((0, self._size), np.float32)

    def _waited_for(self, values: Iterator[_Value]) -> Iterator[_Value]:
        while True:
            started = perf_counter()
            try:
                value = next(values)
            except StopIteration:
                return
            finally:
                self._waiting += perf_counter() - started
            yield value
