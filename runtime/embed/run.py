"""From inputs to a table of embeddings: any number of images, in bounded memory, interruptible at any time.

Inputs are decoded and preprocessed by threads beside the inference. They are taken in groups of `batch_size`, each
group is run in batches of at most `batch_size` frames, and a group is recorded whole, after those before it; as many
batches are in inference as the model runs at the same time. So a batch depends on nothing but
the order of the inputs, and a run that was resumed computed the same batches as one that was not. Between different
batch sizes the last bits of a row may differ, as engines choose their arithmetic by shape.

An input that cannot be read in full contributes no row: of a file whose tenth frame is damaged, none is kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from importlib import metadata
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from time import perf_counter

from ..errors import InputError, OutputError, UnreadableImageError
from ..frame import Window, check_frame
from ..inputs.listing import Listing, list_inputs
from ..machine import usable_cores
from .embedding_model import EmbeddingModel
from .entry import Entry
from .input_frames import FrameReader
from .journal import Journal, refuse_partial
from .journal_filler import JournalFiller, Progress
from .results import Results
from .row_maker import EmbeddingRows, RowMaker
from .summary import RunSummary
from .tables import refuse_output, write_table
from .tally import Tally
from .writer import Writer

_DECODERS = ("pillow", "pydicom", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg")


class _Table:
    """Writes ``.npz``, ``.csv`` or ``.parquet``."""

    def refuse(self, output: Path, *, force: bool, resume: bool) -> None:
        refuse_output(output, force=force, resume=resume)

    def write(self, output: Path, results: Results, listing: Listing, *, force: bool) -> list[Path]:  # noqa: ARG002
        return write_table(output, results, force=force)


def embed_run(
    model: EmbeddingModel,
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    batch_size: int = 8,
    window: Window | None = None,
    frame: int | None = None,
    resume: bool = False,
    force: bool = False,
    strict: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    maker: RowMaker | None = None,
    writer: Writer | None = None,
) -> RunSummary:
    """Write the embedding of each image behind `inputs` to a table, or what `maker` and `writer` make of them.

    Args:
        model: what embeds.
        inputs: as `radiodino.runtime.inputs.listing.list_inputs` takes them.
        output: the file to write; for a table see `radiodino.runtime.embed.tables`.
        batch_size: frames per inference at most, at least 1.
        window: centre and width for DICOM images, in place of the file's own.
        frame: which frame of files with several, counted from 1; None takes all.
        resume: go on with an unfinished run, where there is one.
        force: replace an existing output, and discard an unfinished run unless `resume` is given too.
        strict: end at the first image that cannot be read.
        workers: threads that decode; None takes one for each core this process may use.
        progress: is told how far the run is.
        maker: what makes a row of the network's outputs for a frame; None takes the embedding.
        writer: what writes the output; None writes a table of embeddings.

    Raises:
        InputError: a wrong argument, an input that cannot be listed, or none of the images can be read (then no output
            is written).
        MissingExtraError: ``.parquet`` is wanted and pyarrow is not installed.
        OutputError: the output exists, an unfinished run is in the way or differs in its settings or inputs (names,
            labels, or the size or time of change of a file), or the disk is full.
        UnreadableImageError: with `strict`, the first image that cannot be read.
        KeyboardInterrupt: on an interrupt, with a text that says how to go on.

    What was done before an error or an interrupt is kept beside the output, and `resume` goes on from there.
    """
    started = perf_counter()
    target = Path(output)
    workers = usable_cores() if workers is None else workers
    _refuse_arguments(batch_size, workers, frame)
    writer = writer or _Table()
    writer.refuse(target, force=force, resume=resume)
    refuse_partial(target, resume=resume, force=force)
    listing = list_inputs(inputs)
    _refuse_to_replace_an_input(listing, target)

    maker = maker or EmbeddingRows(model.info.embedding_size)
    options = {
        "batch_size": batch_size,
        "window": asdict(window) if window else None,
        "frame": frame,
        **maker.options,
    }
    decoders = {name: metadata.version(name) for name in _DECODERS}
    provenance = {**model.provenance(), "options": options, "decoders": decoders}
    fingerprint = {**provenance, "inputs": _inputs_fingerprint(listing)}
    with Journal.open(target, fingerprint, maker.size, resume=resume, force=force) as journal:
        with _kept(journal, len(listing)):
            if journal.finished < len(listing):
                journal.cut(journal.finished // batch_size * batch_size)  # back to where a group begins
            maker.begin(listing)
            if (whole := _whole(maker, listing, journal)) < journal.finished:
                journal.cut(whole // batch_size * batch_size)
            resumed = journal.finished
            if not resumed:
                maker.start_afresh()
            if strict:
                _refuse_unreadable(journal.entries())
            filler = JournalFiller(
                model,
                maker,
                FrameReader(model.preprocess, window, frame, keep=maker.needs_frames),
                journal,
                batch_size=batch_size,
                strict=strict,
                workers=workers,
                progress=progress,
            )
            filler.fill(listing)
            results = Results(journal.embeddings(), journal.entries, provenance)
            errors, notices = Tally.of(results.errors()), Tally.of(results.notices())
            if not journal.rows:
                journal.remove()
                raise InputError(f"none of the {len(listing)} images can be read: {'; '.join(errors.first_lines())}")
            files = writer.write(target, results, listing, force=force)
        journal.remove()
    return RunSummary(
        files=tuple(files),
        inputs=journal.finished,
        rows=journal.rows,
        errors=errors,
        notices=notices,
        notes=tuple(listing.notes()),
        resumed=resumed,
        seconds=perf_counter() - started,
        **filler.shares(),
    )


def _whole(maker: RowMaker, listing: Listing, journal: Journal) -> int:
    """How many of the finished inputs, from the first on, have all their files."""
    for number, entry in enumerate(journal.entries()):
        if entry.reason is None and not maker.is_whole(listing[number], entry):
            return number
    return len(listing)


@contextmanager
def _kept(journal: Journal, total: int) -> Iterator[None]:
    """Say with an interrupt and with a full disk that what was done is kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_kept_text(journal, total)}") from None
    except OutputError as error:
        raise OutputError(f"{error}; {_kept_text(journal, total)}") from error


def _kept_text(journal: Journal, total: int) -> str:
    return (
        f"{journal.finished} of {total} inputs are done and kept in {journal.folder}: "
        "give the same command with --resume to go on"
    )


def _refuse_arguments(batch_size: int, workers: int, frame: int | None) -> None:
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    check_frame(frame)


def _refuse_to_replace_an_input(listing: Listing, target: Path) -> None:
    if not target.exists():
        return
    files = {item.file for item in listing if item.file.endswith(target.name)}
    if any(os.path.exists(file) and os.path.samefile(file, target) for file in files):
        raise InputError(f"{target} is one of the inputs: choose another --output")


def _refuse_unreadable(entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.reason is not None:
            raise UnreadableImageError(entry.reason, entry.name)


def _inputs_fingerprint(listing: Listing) -> dict[str, int | str]:
    """What a run that goes on must find again: the names, labels and order, and each file as it was."""
    return {
        "count": len(listing),
        "names_sha256": _digest(text for item in listing for text in (item.name, item.label)),
        "sizes_and_times_sha256": _digest(_size_and_time(file) for file, _ in groupby(listing, attrgetter("file"))),
    }


def _digest(texts: Iterable[str]) -> str:
    digest = sha256()
    for text in texts:
        digest.update(f"{text}\0".encode())
    return digest.hexdigest()


def _size_and_time(file: str) -> str:
    """What differs where `file` was replaced; an archive's covers its members."""
    try:
        found = os.stat(file)
    except OSError:
        return "unreadable"
    return f"{found.st_size} {found.st_mtime_ns}"
