"""Walking folders and globs: what lies in them, in order, each entry of a folder once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ..errors import InputError
from .globs import Glob
from .item import Item, printable
from .left_out import HIDDEN, SPECIAL, TWICE, UNFINISHED, LeftOut, why_file_left_out, why_folder_left_out

_FILE, _FOLDER, _LINK = "file", "folder", "link to a folder"


class Walk:
    """A walk through any number of files, folders and globs, which remembers what it has reached."""

    def __init__(self) -> None:
        self._folders: set[str] = set()  # real paths of the folders that were listed whole
        self._files: dict[str, set[str]] = {}  # names that were listed alone, by the real path of their folder

    def file(self, path: str) -> Item | LeftOut:
        """The file `path`, whatever it is called."""
        return self._file(path, os.path.realpath(os.path.dirname(path) or "."))

    def folder(self, path: str) -> Iterator[Item | LeftOut]:
        """What lies in the folder `path` at any depth; the label of an image is the first folder below `path`.

        Raises:
            InputError: a folder cannot be listed.
            RecursionError: the folders are nested too deeply.
        """
        return self._folder(path, os.path.realpath(path), "")

    def glob(self, base: str, glob: Glob) -> Iterator[Item | LeftOut]:
        """What matches `glob` in the folder `base`; a folder that a glob without ``**`` matches counts as typed.

        Raises:
            InputError: a folder cannot be listed.
            RecursionError: the folders are nested too deeply.
        """
        return self._matches(base, (os.path.realpath(base),), glob)

    def _file(self, path: str, folder: str) -> Item | LeftOut:
        name = os.path.basename(path)
        alone = self._files.setdefault(folder, set())
        if name in alone or (folder in self._folders and why_file_left_out(name) is None):
            return _left_out(path, TWICE)
        alone.add(name)
        return _item(path, "")

    def _folder(self, path: str, real: str, label: str) -> Iterator[Item | LeftOut]:
        if real in self._folders:  # typed before, or a link that leads back
            yield _left_out(path, TWICE)
            return
        self._folders.add(real)
        alone = self._files.get(real, ())
        for name, kind in _entries(path):
            below = _join(path, name)
            why = why_file_left_out(name) if kind == _FILE else why_folder_left_out(name)
            if kind == SPECIAL or why is not None:
                yield _left_out(below, why or kind)
            elif kind != _FILE:
                yield from self._folder(below, _real(below, real, name, kind), label or name)
            elif name in alone:
                yield _left_out(below, TWICE)
            else:
                yield _item(below, label)

    def _matches(self, path: str, above: tuple[str, ...], glob: Glob) -> Iterator[Item | LeftOut]:
        """What matches in the folder `path`; `above` are the real paths on the way to it, its own the last."""
        for name, kind in _entries(path):
            below, reached = _join(path, name), glob.below(name)
            if kind in (_FOLDER, _LINK) and not reached.is_lost:
                yield from self._reached_folder(below, name, _real(below, above[-1], name, kind), above, reached)
            elif kind in (_FILE, SPECIAL) and reached.is_match:
                why = kind if kind == SPECIAL else _why_match_left_out(name)
                yield self._file(below, above[-1]) if why is None else _left_out(below, why)

    def _reached_folder(
        self, path: str, name: str, real: str, above: tuple[str, ...], glob: Glob
    ) -> Iterable[Item | LeftOut]:
        if glob.is_match and "**" not in glob.patterns:  # counts as typed
            return self._folder(path, real, "")
        if name.endswith(".partial"):
            return [_left_out(path, UNFINISHED)]
        if real in above:  # a link that leads back
            return [_left_out(path, TWICE)]
        return self._matches(path, (*above, real), glob)


def tidy(typed: str) -> str:
    """`typed` with ``/`` between its parts, and no part that is empty or ``.``."""
    text = typed.replace(os.sep, "/")
    start = "/" if text.startswith("/") else ""
    if os.name == "nt" and text.startswith("//"):
        start = "//"  # the share of another machine
    return start + "/".join(part for part in text.split("/") if part not in ("", ".")) or "."


def _item(path: str, label: str) -> Item:
    return Item(printable(path), printable(label), path)


def _left_out(path: str, why: str) -> LeftOut:
    return LeftOut(printable(path), why)


def _why_match_left_out(name: str) -> str | None:
    """As `why_file_left_out`, of a file that a glob matches: hidden files and archives are wanted then."""
    why = why_file_left_out(name)
    return None if why == HIDDEN or name.lower().endswith((".zip", ".npz")) else why


def _entries(folder: str) -> list[tuple[str, str]]:
    """Names and kinds of what lies in `folder`, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, _kind(entry)) for entry in entries)
    except OSError as error:
        raise InputError(
            f"cannot list the folder {folder} ({error.strerror or error}): make it readable, or leave it out"
        ) from error


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return _LINK if entry.is_symlink() else _FOLDER
        return _FILE if entry.is_file() or entry.is_symlink() else SPECIAL
    except OSError:  # a link that cannot be followed: listed as a file, and then reported as unreadable
        return _FILE


def _real(path: str, above: str, name: str, kind: str) -> str:
    """The real path of the folder `name` inside the real path `above`."""
    return os.path.realpath(path) if kind == _LINK else os.path.join(above, name)


def _join(folder: str, name: str) -> str:
    if folder == ".":
        return name
    return folder + name if folder.endswith("/") else f"{folder}/{name}"
