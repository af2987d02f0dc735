"""A split written down: the manifest that names every image with its label and split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.item import printable

from .listing import DataListing
from .manifest import Row, write_manifest


def write_splits(listing: DataListing, path: Path, *, overwrite: bool) -> None:
    """Write `listing` to the CSV manifest `path`, so that `list_data` of it gives the same images, labels and splits.

    Paths are relative to the manifest's folder where the input was given relative, else as typed.

    Raises:
        InputError: `path` does not end in ``.csv``, or a name cannot be written in UTF-8.
        OutputError: it exists and may not be replaced, or cannot be written.
    """
    write_manifest(path, _rows(listing, path.parent), overwrite=overwrite)


def _rows(listing: DataListing, folder: Path) -> Iterator[Row]:
    relative: dict[str, str] = {}

    def from_folder(place: str) -> str:
        if place not in relative:
            relative[place] = place if os.path.isabs(place) else _relative(place, folder)
        return relative[place]

    for image in listing:
        item = image.item
        if isinstance(item.source, str):
            head, _, last = item.source.rpartition("/")
            head = from_folder(head or ("/" if item.source.startswith("/") else "."))
            path = last if head == "." else f"{head.rstrip('/')}/{last}"
        else:
            file = printable(item.file)
            if file != item.file:
                raise InputError(f"{file} is no name in UTF-8 and cannot be written: rename the file")
            path = f"{from_folder(item.file)}{item.name[len(file) :]}"
        yield Row(path, image.label, image.split)


def _relative(place: str, folder: Path) -> str:
    try:
        return os.path.relpath(place, folder).replace(os.sep, "/")
    except ValueError:  # on another drive
        return os.path.abspath(place).replace(os.sep, "/")
