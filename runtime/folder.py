"""Folders that results go to."""

from __future__ import annotations

from pathlib import Path

from .errors import OutputError


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, where it is not there yet.

    Raises:
        OutputError: where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}; choose another one") from error
