"""From the list of inputs to a full journal: decoding beside inference, and recording what is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from time import perf_counter
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableImageError
from ..inputs.item import Item
from ..inputs.listing import Listing
from ..prefetch import prefetch
from .batcher import Batcher
from .embedding_model import EmbeddingModel
from .entry import Entry
from .input_frames import FrameReader, Prepared, ReadyFrame
from .journal import Journal
from .row_maker import RowMaker

_Value = TypeVar("_Value")


class Progress(Protocol):
    """Is told how far a run is, from the thread that called it."""

    def __call__(self, done: int, total: int, /) -> None:
        """Of `total` inputs, `done` are finished; called first with what was resumed."""


@dataclass
class _Read:
    """An input that was read as far as it could be."""

    item: Item
    entry: Entry
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    """One for each of its frames, at the latest when the batches of its group are done."""
    dropped: tuple[int | None, ...] = ()
    """Frames that were given to the batcher before the input turned out to be unreadable."""


class _Group(NamedTuple):
    """Inputs that are recorded together."""

    inputs: list[_Read]
    batches: int
    """How many batches must be done for it, from the first of the run on."""


class JournalFiller:
    """Fills a journal with the inputs it lacks.

    Args:
        model: what runs.
        maker: what makes the rows of its outputs.
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
        maker: RowMaker,
        reader: FrameReader,
        journal: Journal,
        *,
        batch_size: int,
        strict: bool,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self._maker = maker
        self._reader = reader
        self._journal = journal
        self._batch_size = batch_size
        self._parallel = model.parallel
        self._batcher = Batcher(model, batch_size)
        self._strict = strict
        self._workers = workers
        self._progress = progress
        self._groups: deque[_Group] = deque()
        """Those in inference, in their order."""
        self._total = 0
        self._waiting = self._seconds = 0.0

    def fill(self, listing: Listing) -> None:
        """Run and record what of `listing` the journal lacks.

        Raises:
            OutputError: the journal cannot be written.
            UnreadableImageError: with `strict`, the first input that cannot be read.
        """
        started = perf_counter()
        self._total = len(listing)
        self._tell()
        missing = islice(listing.items, self._journal.finished, None)
        # While one group is in inference, the next is being prepared.
        prepared = prefetch(missing, self._reader.prepare, self._workers, self._batch_size + self._workers)
        with closing(self._batcher), closing(prepared):
            try:
                while inputs := list(islice(self._waited_for(prepared), self._batch_size)):
                    read = [self._read(one) for one in inputs]
                    self._groups.append(_Group(read, self._batcher.start()))
                    if len(self._groups) > self._parallel:
                        self._record_first()
            except UnreadableImageError:  # what is in inference came before it
                self._record_all()
                raise
            self._record_all()
        self._seconds = perf_counter() - started

    def shares(self) -> dict[str, float]:
        """Where the time went: ``rows_per_second``, ``waiting_share`` and ``inference_share`` of a `RunSummary`."""
        seconds = self._seconds if self._batcher.rows else float("inf")  # all are 0 where nothing was computed
        return {
            "rows_per_second": self._batcher.rows / seconds,
            "waiting_share": self._waiting / seconds,
            "inference_share": self._batcher.inference.seconds / seconds,
        }

    def _record_all(self) -> None:
        while self._groups:
            self._record_first()

    def _record_first(self) -> None:
        try:
            self._batcher.wait(self._groups[0].batches)
            self._journal.append([self._finished(one) for one in self._groups[0].inputs])
            self._groups.popleft()
        except BaseException:
            self._groups.clear()  # later ones do not count without it
            raise
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._journal.finished, self._total)

    def _read(self, prepared: Prepared) -> _Read:
        """An input whose frames are with the batcher."""
        item = prepared.item
        numbers: list[int | None] = []
        notices: list[tuple[int, str]] = []
        read = _Read(item, Entry(item.name, item.label))
        try:
            with closing(self._frames(prepared)) as frames:
                for ready in frames:
                    if ready.notice is not None:
                        notices.append((len(numbers), ready.notice))
                    numbers.append(ready.number)
                    self._add(read, ready)
        except UnreadableImageError as error:
            if self._strict:
                raise UnreadableImageError(error.reason, item.name) from error
            return _Read(item, replace(read.entry, reason=error.reason), dropped=tuple(numbers))
        read.entry = replace(read.entry, frames=tuple(numbers), notices=tuple(notices))
        return read

    def _add(self, read: _Read, ready: ReadyFrame) -> None:
        def take(outputs: Mapping[str, NDArray[np.float32]]) -> None:
            read.rows.append(self._maker.row(read.item, ready, outputs))

        self._batcher.add(ready.pixels, take)
        while self._groups and self._groups[0].batches <= self._batcher.done:  # a file may have frames for hours
            self._record_first()

    def _finished(self, read: _Read) -> tuple[Entry, NDArray[np.float32]]:
        """What is recorded of an input."""
        if read.entry.reason is not None:
            self._maker.dropped(read.item, read.dropped)
            return read.entry, np.empty((0, self._maker.size), np.float32)
        rows = np.stack(read.rows)
        notice = self._maker.finished(read.item, read.entry, rows)
        if notice is None:
            return read.entry, rows
        return replace(read.entry, notices=_with_first(read.entry.notices, notice)), rows

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

    def _waited_for(self, values: Iterator[_Value]) -> Iterator[_Value]:
        while True:
            started, busy = perf_counter(), self._batcher.inference.seconds
            try:
                value = next(values)
            except StopIteration:
                return
            finally:
                elapsed = perf_counter() - started
                self._waiting += max(0.0, elapsed - (self._batcher.inference.seconds - busy))
            yield value


def _with_first(notices: tuple[tuple[int, str], ...], notice: str) -> tuple[tuple[int, str], ...]:
    """The notices of an input with one more, of its first row."""
    here = [text for position, text in notices if position == 0]
    rest = [(position, text) for position, text in notices if position > 0]
    return (0, "; ".join([*here, notice])), *rest
