"""Folders of files that belong to a table: written before it, replaced only together with it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..embed.journal import has_partial
from ..errors import InputError, OutputError
from ..inputs.listing import Listing

_SUFFIXES = (".png", ".npy", ".dcm")
"""Of what is written to such folders."""


def refuse_filled(folder: Path, table: Path, evidence: Path, *, force: bool, resume: bool) -> None:
    """Say early that results would be mixed with files of another origin.

    Args:
        folder: where the results will lie.
        table: what they belong to.
        evidence: a file that is there where an earlier run wrote the folder.
        force: whether the results of an earlier run may be replaced.
        resume: whether an unfinished run may be gone on with.

    Raises:
        OutputError: the folder is a file, or holds files that are not those of the unfinished run, or of a run that
            may be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"{folder} is a file, and results would lie in a folder of that name: choose another --output"
        )
    if not folder.is_dir() or next(folder.iterdir(), None) is None:
        return
    unfinished = has_partial(table)
    ours = unfinished or evidence.is_file()
    if (resume and unfinished) or (force and ours):
        return
    cure = "add --force to replace them, or " if ours else ""
    raise OutputError(f"{folder} holds files already: {cure}choose another --output")


def refuse_inputs_within(folders: Iterable[Path], listing: Listing) -> None:
    """Say that results would be put among the inputs, or replace them.

    Raises:
        InputError: an input lies in one of the folders.
    """
    results = {os.path.realpath(folder) for folder in folders}
    for folder in {os.path.dirname(item.file) for item in listing}:
        if os.path.realpath(folder) in results:
            raise InputError(f"the folder {folder} holds inputs and is where results would be: choose another --output")


def clear_results(folder: Path) -> None:
    """Remove the results of an earlier run from a folder, where it is there; other kinds of file stay.

    Raises:
        OutputError: one cannot be removed.
    """
    try:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.suffix in _SUFFIXES:
                path.unlink()
    except OSError as error:
        raise OutputError(f"cannot clear {folder}: {error.strerror or error}; choose another --output") from error
