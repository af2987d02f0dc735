"""A run that writes pictures into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..embed.run import embed_run
from ..embed.summary import RunSummary
from ..errors import OutputError
from ..folder import make_folder
from ..model import Model
from .picture_table import PictureTable


def picture_run(
    model: Model, inputs: Sequence[str | os.PathLike[str]], folder: Path, writer: PictureTable, **options: Any
) -> RunSummary:
    """Run over many images and write the table and the files into `folder`.

    Args:
        model: what runs.
        inputs: as `embed_run` takes them.
        folder: made where it is not there yet; files of other kinds in it stay.
        writer: of the table, with what makes the rows and files.
        **options: as `embed_run` takes them.

    Raises:
        RadioDinoError: as `embed_run`.
    """
    with _made(folder, writer):
        return embed_run(model, inputs, writer.maker.table, maker=writer.maker, writer=writer, **options)


@contextmanager
def _made(folder: Path, writer: PictureTable) -> Iterator[None]:
    """Make a folder, and take away what stayed empty."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: name a folder as --output")
    make_folder(folder)
    try:
        yield
    finally:
        for empty in (*writer.maker.folders(), folder):
            with suppress(OSError):  # it holds something
                empty.rmdir()
