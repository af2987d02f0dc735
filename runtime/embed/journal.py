"""The state of an unfinished run, kept beside its output so that it can go on after any interruption.

The folder ``OUT.partial`` holds

- ``run.json``: the fingerprint of the run: everything that decides the numbers. It is written last when a run begins,
  so a folder without it holds nothing worth keeping.
- ``embeddings.f32``: the rows, raw little-endian float32, in the order of the inputs.
- ``rows.jsonl``: one line for each finished input, with the CRC-32 of its rows. The rows are written first, so a line
  never claims what is not there; after a power cut, when a disk may have kept the line and lost the rows, the CRC
  tells.
- ``lock``: held while a run writes here, so that no two runs do.

Opening it again cuts both files back to the last input that is whole in both. Nothing is lost but what was being
written, and nothing is there twice.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from .entry import Entry
from .file_lock import take_lock
from .fingerprint import refuse_other_fingerprint, write_fingerprint

RUN = "run.json"
ROWS = "rows.jsonl"
EMBEDDINGS = "embeddings.f32"
LOCK = "lock"
_FLOAT = np.dtype("<f4")


def partial_folder(output: Path) -> Path:
    """Where the state of an unfinished run for `output` lies."""
    return output.with_name(f"{output.name}.partial")


def has_partial(output: Path) -> bool:
    """Whether an unfinished run for `output` can be resumed."""
    return (partial_folder(output) / RUN).is_file()


def refuse_partial(output: Path, *, resume: bool, force: bool) -> None:
    """Say early that an unfinished run is in the way.

    Raises:
        OutputError: an unfinished run exists and it is to be neither resumed nor replaced, or its place is taken.
    """
    folder = partial_folder(output)
    if os.path.lexists(folder) and not folder.is_dir():
        raise OutputError(f"{folder} is in the way of the state of this run: move it, or choose another --output")
    if has_partial(output) and not (resume or force):
        raise OutputError(
            f"{folder} holds an unfinished run: add --resume to go on with it, or --force to discard it and begin again"
        )


class Journal:
    """The open state of one run; make it with `Journal.open`, and use it as a context manager.

    Attributes:
        folder: where it lies.
        finished: inputs that are done, readable or not.
        rows: rows of their embeddings.
    """

    def __init__(self, folder: Path, embedding_size: int, lock: IO[bytes]) -> None:
        self.folder = folder
        self.finished = 0
        self.rows = 0
        self._size = embedding_size
        self._lock = lock
        self._files: dict[str, IO[bytes]] = {}

    @classmethod
    def open(
        cls, output: Path, fingerprint: Mapping[str, Any], embedding_size: int, *, resume: bool, force: bool
    ) -> Journal:
        """Begin a run, or go on with an unfinished one.

        Args:
            output: the file that the run will write; the state lies beside it.
            fingerprint: what decides the numbers, JSON-able; a run goes on only where all of it is the same.
            embedding_size: D, floats in a row.
            resume: go on with an unfinished run where there is one.
            force: discard an unfinished run where there is one (with `resume`, it is gone on with).

        Raises:
            OutputError: an unfinished run exists and neither `resume` nor `force` is given, differs from this one, is
                damaged or in use, or the folder cannot be written.
        """
        refuse_partial(output, resume=resume, force=force)
        folder = partial_folder(output)
        wanted = json.loads(json.dumps({"embedding_size": embedding_size, **fingerprint}))
        with _writing(folder):
            folder.mkdir(exist_ok=True)
            journal = cls(folder, embedding_size, take_lock(folder / LOCK))
            try:
                if resume and has_partial(output):
                    refuse_other_fingerprint(folder / RUN, wanted)
                    journal._recover()
                else:
                    journal._begin(wanted)
            except BaseException:
                journal.close()
                raise
        return journal

    def append(self, finished: Sequence[tuple[Entry, NDArray[np.float32]]]) -> None:
        """Record inputs that are done, in their order.

        Args:
            finished: for each input its entry and its rows, float32 (len(entry.frames), D).

        Raises:
            OutputError: the disk is full or failing; what was recorded before stays usable.
        """
        rows: list[bytes] = []
        lines: list[bytes] = []
        for number, (entry, embeddings) in enumerate(finished, self.finished):
            if embeddings.shape != (len(entry.frames), self._size):
                raise ValueError(f"{embeddings.shape} rows for {len(entry.frames)} frames of {self._size} values")
            data = embeddings.astype(_FLOAT, copy=False).tobytes()
            rows.append(data)
            lines.append(entry.to_line(number, zlib.crc32(data)))
        with _writing(self.folder):
            _write_all(self._files[EMBEDDINGS], b"".join(rows))
            _write_all(self._files[ROWS], b"".join(lines))
        self.finished += len(finished)
        self.rows += sum(len(entry.frames) for entry, _ in finished)

    def cut(self, finished: int) -> None:
        """Forget all but the first `finished` inputs.

        Raises:
            OutputError: the files cannot be cut.
        """
        if finished >= self.finished:
            return
        dropped = sum(len(entry.frames) for entry in islice(self.entries(), finished, None))
        with (self.folder / ROWS).open("rb") as lines:
            kept = sum(len(line) for line in islice(lines, finished))
        with _writing(self.folder):
            self._truncate(finished, self.rows - dropped, kept)

    def entries(self) -> Iterator[Entry]:
        """The finished inputs in order, read from the disk one by one."""
        with (self.folder / ROWS).open("rb") as lines:
            for number in range(self.finished):
                parsed = Entry.from_line(lines.readline(), number)
                if parsed is None:
                    raise OutputError(f"{self.folder / ROWS} was altered while in use: begin again with --force")
                yield parsed[0]

    def embeddings(self) -> NDArray[np.float32]:
        """The rows of the finished inputs, float32 (rows, D), mapped from the disk, read-only."""
        if not self.rows:
            return np.empty((0, self._size), np.float32)
        return np.memmap(self.folder / EMBEDDINGS, _FLOAT, "r", shape=(self.rows, self._size))

    def close(self) -> None:
        """Let go of the files; the state stays."""
        for file in (*self._files.values(), self._lock):
            file.close()

    def remove(self) -> None:
        """Delete the state: the run is complete.

        Raises:
            OutputError: the files cannot be deleted.
        """
        self.close()
        with _writing(self.folder):
            for name in (RUN, ROWS, EMBEDDINGS, LOCK):  # without run.json the rest counts for nothing
                (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody put a file of their own in there: it is not ours to delete
            self.folder.rmdir()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, fingerprint: Mapping[str, Any]) -> None:
        (self.folder / RUN).unlink(missing_ok=True)  # first, so that an old run is discarded whole
        self._truncate(0, 0, 0)
        write_fingerprint(self.folder / RUN, fingerprint)

    def _recover(self) -> None:
        """Cut both files back to the last input that is whole in both."""
        finished = rows = kept = 0
        for name in (ROWS, EMBEDDINGS):
            (self.folder / name).touch()
        with (self.folder / ROWS).open("rb") as lines, (self.folder / EMBEDDINGS).open("rb") as embeddings:
            for line in lines:
                parsed = Entry.from_line(line, finished)
                if parsed is None:
                    break
                entry, checksum = parsed
                expected = len(entry.frames) * self._size * _FLOAT.itemsize
                data = embeddings.read(expected)
                if len(data) != expected or zlib.crc32(data) != checksum:
                    break
                finished, rows, kept = finished + 1, rows + len(entry.frames), kept + len(line)
        self._truncate(finished, rows, kept)

    def _truncate(self, finished: int, rows: int, kept: int) -> None:
        sizes = {EMBEDDINGS: rows * self._size * _FLOAT.itemsize, ROWS: kept}
        for name, size in sizes.items():
            if name not in self._files:
                self._files[name] = (self.folder / name).open("ab", buffering=0)
            self._files[name].truncate(size)
        self.finished, self.rows = finished, rows


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take a part of it, as when a disk is almost full."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say of a full or failing disk what could not be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
