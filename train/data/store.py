"""8-bit planes made once from a list of inputs, on disk: resumable, made by one process at a time, never copied whole.

The folder of a store holds

- ``grey.u8`` or ``colour.u8``: the rows, raw, each 1 or 3 planes (and the extra ones) of S × S bytes;
- ``journal.jsonl``, while it is made: a line for each input that is done, its number of rows or why it has none. Rows
  are on the disk before their lines, so that a line never claims what is not there;
- ``index.json``, when it is whole;
- ``lock``: held by the process that makes it; others wait.

It is begun with one plane for each row. The first row of three makes it wide: then, once, what is there is copied.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.embed.file_lock import take_lock
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.machine import usable_cores
from radiodino.runtime.prefetch import prefetch

_FILES = {1: "grey.u8", 3: "colour.u8"}
_INDEX, _JOURNAL, _LOCK = "index.json", "journal.jsonl", "lock"
_SECONDS, _BYTES = 2.0, 64 << 20  # after which what was made is brought to the disk
_WAIT = 0.25  # seconds between looks at another process

_Input = TypeVar("_Input")


@dataclass(frozen=True)
class Made:
    """What became of one input."""

    rows: Sequence[NDArray[np.uint8]] = ()
    """Each uint8 (1 or 3 + extra, S, S)."""
    reason: str | None = None
    """Why there are none."""


@dataclass(frozen=True)
class Store:
    """Planes on disk."""

    rows: NDArray[np.uint8]
    """Memory-mapped uint8 (N, C + extra, S, S), C = 1 where every row has one plane, else 3."""
    counts: Sequence[int]
    """Rows of each input, in their order."""
    reasons: dict[int, str]
    """Of the inputs without rows."""


def open_store(
    place: Path,
    inputs: Sequence[_Input],
    make: Callable[[_Input], Made],
    size: int,
    *,
    extra: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """The store in the folder `place`, made first where it is not whole yet.

    An interrupt at any moment loses seconds of work: the next call goes on.

    Args:
        place: a folder for these inputs and no others.
        inputs: what to make rows of.
        make: makes the rows of one; called in several threads.
        size: S in pixels.
        extra: planes of each row that are not of the image.
        progress: is told (done, total) while it is made, be it by another process.

    Raises:
        InputError: no input gives a row.
        OutputError: the disk is full or read-only, or the store is damaged.
    """
    tell = progress or (lambda _done, _total: None)
    try:
        if not (place / _INDEX).exists():
            place.mkdir(parents=True, exist_ok=True)
            with _alone(place, lambda: tell(_lines(place), len(inputs))):
                if not (place / _INDEX).exists():
                    _make(place, inputs, make, size, extra, tell)
        return _opened(place, len(inputs), size, extra)
    except OSError as error:
        raise OutputError(
            f"cannot write decoded images to {place} ({error.strerror or error}): free the space and start again, "
            "which goes on, or choose another --cache"
        ) from error


def _make(
    place: Path, inputs: Sequence[_Input], make: Callable[[_Input], Made], size: int, extra: int,
    tell: Callable[[int, int], None],
) -> None:  # fmt: skip
    growing = _Growing(place, size, extra)
    workers = usable_cores()
    try:
        left = (inputs[index] for index in range(len(growing.journal), len(inputs)))
        with closing(prefetch(left, make, workers, 4 * workers)) as made:
            for one in made:
                growing.add(one)
                tell(len(growing.journal), len(inputs))
    finally:
        growing.close()
    if not growing.rows:
        growing.remove()
        reason = next((entry for entry in growing.journal if isinstance(entry, str)), "there are none")
        raise InputError(f"none of the {len(inputs)} images can be read: {reason}")
    index = {
        "planes": growing.planes,
        "counts": [entry if isinstance(entry, int) else 0 for entry in growing.journal],
        "reasons": {number: entry for number, entry in enumerate(growing.journal) if isinstance(entry, str)},
    }
    with atomic_path(place / _INDEX, overwrite=True) as temporary:
        temporary.write_text(json.dumps(index), encoding="utf-8")
    (place / _JOURNAL).unlink()


class _Growing:
    """Rows on the disk, and the journal that says of which inputs."""

    def __init__(self, place: Path, size: int, extra: int) -> None:
        self.journal: list[int | str] = []
        self.rows = 0
        self._place, self._size, self._extra = place, size, extra
        self._waiting: list[NDArray[np.uint8]] = []
        self._lines: list[bytes] = []
        self._since = time.monotonic()
        self._channels = 3 if (place / _FILES[3]).exists() else 1
        if self._channels == 3:
            (place / _FILES[1]).unlink(missing_ok=True)  # of which it is the wider copy
        for stale in place.glob(".*.tmp"):  # of a process that was killed
            stale.unlink()
        self._recover()

    @property
    def planes(self) -> int:
        """Of each row."""
        return self._channels + self._extra

    def add(self, made: Made) -> None:
        """Take in what became of the next input."""
        widest = max((len(row) - self._extra for row in made.rows), default=1)
        if widest > self._channels:
            self._widen()
        entry = len(made.rows) if made.reason is None else made.reason
        self._waiting += made.rows
        self.journal.append(entry)
        self._lines.append(json.dumps(entry).encode() + b"\n")
        held = len(self._waiting) * self.planes * self._size**2
        if held > _BYTES or time.monotonic() - self._since > _SECONDS:
            self._commit()

    def close(self) -> None:
        """Bring what was taken in to the disk."""
        with self._pixels, self._journal:
            self._commit()

    def remove(self) -> None:
        """Delete what was made."""
        for name in (_JOURNAL, *_FILES.values()):
            (self._place / name).unlink(missing_ok=True)

    def _recover(self) -> None:
        """Cut both files back to the last input that is whole in both."""
        path = self._place / _JOURNAL
        kept, row_bytes = 0, self.planes * self._size**2
        pixels = self._place / _FILES[self._channels]
        there = pixels.stat().st_size // row_bytes if pixels.exists() else 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            entry = _parsed(line)
            rows = entry if isinstance(entry, int) else 0
            if entry is None or self.rows + rows > there:
                break
            self.journal.append(entry)
            self.rows += rows
            kept += len(line)
        self._kept = kept
        self._pixels, self._journal = _writable(pixels), _writable(path)
        self._commit()

    def _commit(self) -> None:
        """To places that depend on what is there alone, so that after an interrupt in here it can be done again."""
        rows = b"".join(_widened(row[None], self._channels, self._extra).tobytes() for row in self._waiting)
        lines = b"".join(self._lines)
        _write_at(self._pixels, self.rows * self.planes * self._size**2, rows)
        _write_at(self._journal, self._kept, lines)
        self.rows, self._kept = self.rows + len(self._waiting), self._kept + len(lines)
        self._waiting, self._lines, self._since = [], [], time.monotonic()

    def _widen(self) -> None:
        self._commit()
        narrow, wide = (self._place / name for name in _FILES.values())
        with atomic_path(wide, overwrite=True) as temporary, temporary.open("wb") as stream:
            if self.rows:
                rows = np.memmap(narrow, np.uint8, "r", shape=(self.rows, self.planes, self._size, self._size))
                for start in range(0, self.rows, 256):
                    stream.write(_widened(rows[start : start + 256], 3, self._extra).tobytes())
                del rows
        self._pixels.close()
        self._channels, self._pixels = 3, wide.open("r+b")
        narrow.unlink()


def _widened(rows: NDArray[np.uint8], channels: int, extra: int) -> NDArray[np.uint8]:
    """Rows (n, 1 or 3 + extra, S, S) with `channels` planes beside the extra ones."""
    image = rows[:, : rows.shape[1] - extra]
    if image.shape[1] == channels:
        return rows
    return np.concatenate([np.repeat(image, channels, 1), rows[:, image.shape[1] :]], 1)


def _parsed(line: bytes) -> int | str | None:
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return entry if isinstance(entry, int | str) else None


def _writable(path: Path) -> IO[bytes]:
    path.touch()
    return path.open("r+b")


def _write_at(stream: IO[bytes], place: int, data: bytes) -> None:
    """Let `data` follow the first `place` bytes, on the disk."""
    stream.truncate(place)
    stream.seek(place)
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def _alone(place: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of `place`; while another process does, wait and call `waiting` now and then."""
    while True:
        try:
            lock = take_lock(place / _LOCK)
            break
        except OutputError:
            waiting()
            time.sleep(_WAIT)
    with lock:
        yield


def _lines(place: Path) -> int:
    try:
        return (place / _JOURNAL).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _opened(place: Path, inputs: int, size: int, extra: int) -> Store:
    try:
        index = json.loads((place / _INDEX).read_text(encoding="utf-8"))
        counts, planes = index["counts"], index["planes"]
        shape = (sum(counts), planes, size, size)
        file = place / _FILES[planes - extra]
        if len(counts) != inputs or file.stat().st_size != np.prod(shape, dtype=np.int64):
            raise ValueError
        reasons = {int(number): reason for number, reason in index["reasons"].items()}
        return Store(np.memmap(file, np.uint8, "r", shape=shape), counts, reasons)
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        raise OutputError(f"the decoded images in {place} are damaged: delete that folder, and start again") from None
