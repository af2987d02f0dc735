"""What tells one state of an image's file from another, without reading it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from radiodino.runtime.inputs.image_sets import SetImage
from radiodino.runtime.inputs.item import Item
from radiodino.runtime.inputs.zip_images import ZipMember


def stamps(items: Iterable[Item]) -> Iterator[str]:
    """A text for each image that another state of its file would not give.

    Of a member of a zip archive it is the checksum, size and name that the archive's table of contents states, wherever
    the archive lies; of other files the path, the size and the time of the last change; of an image set also the place
    in it.
    """
    folders: dict[str, str] = {}
    sets: dict[str, str] = {}
    for item in items:
        source = item.source
        if isinstance(source, ZipMember):
            yield f"zip {source.crc:08x} {source.size} {item.name.rpartition('/')[2]}"
        elif isinstance(source, SetImage):
            if source.file not in sets:
                sets[source.file] = _file_stamp(source.file, folders)
            yield f"{sets[source.file]} {source.images.key} {source.index}"
        else:
            yield _file_stamp(item.file, folders)


def _file_stamp(path: str, folders: dict[str, str]) -> str:
    folder, last = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.abspath(folder or ".")
    try:
        state = os.stat(path)
        size, changed = state.st_size, state.st_mtime_ns
    except OSError:  # gone since it was listed, or a link that leads nowhere: found unreadable when it is decoded
        size, changed = -1, 0
    return f"file {size} {changed} {folders[folder]}/{last}"
