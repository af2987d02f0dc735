"""The images that a manifest names: found without asking the disk for each, and each once."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.folders import tidy
from radiodino.runtime.inputs.image_sets import SetImage
from radiodino.runtime.inputs.item import Item, printable
from radiodino.runtime.inputs.listing import list_inputs

from ..weights.wording import some_of
from .data_image import DataImage, own_split, set_name
from .manifest import read_manifest

_UNTIDY = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|//|/$")  # parts that are empty, . or ..
_ARCHIVE = re.compile(r"\.(?:zip|npz)(?=/|$)", re.IGNORECASE)


def manifest_images(typed: str) -> list[DataImage]:
    """The images of the manifest `typed`, in the order of its rows; those of an image set in the set's own order.

    Each folder and each archive is listed once, whatever the number of rows. An image without a split in the manifest
    has that which its image set says, where it says one.

    Raises:
        InputError: see `read_manifest`; no rows, a file that is missing or named twice, or a damaged archive.
        MissingExtraError: see `read_manifest`.
    """
    manifest = tidy(typed)
    places = _Places(manifest)
    found: list[DataImage] = []
    missing: list[str] = []
    for row in read_manifest(typed):
        image = places.find(row.path, row.label, row.split)
        if image is None:
            missing.append(row.path)
        else:
            found.append(image)
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(missing) + len(found)} images that {typed} names are missing: "
            f"{some_of(missing)}; expected them relative to its folder"
        )
    if not found:
        raise InputError(f"{typed} names no images: give one row for each")
    return list(_sets_in_order(found))


class _Places:
    """Where the rows of one manifest lie."""

    def __init__(self, manifest: str) -> None:
        self._manifest = manifest
        self._folder = posixpath.dirname(manifest)
        self._absolute = f"{os.path.abspath(self._folder or '.').replace(os.sep, '/').rstrip('/')}/"
        self._real: dict[str, str] = {}
        self._left: dict[str, set[str]] = {}  # names in each folder that no row has named yet
        self._is_file: dict[str, bool] = {}
        self._members: dict[str, dict[str, Item | None]] = {}  # of each archive; None once a row has named it

    def find(self, written: str, label: str, split: str) -> DataImage | None:
        """The image at the path `written`, None where there is none."""
        path = written.replace(os.sep, "/")
        if self._folder and not posixpath.isabs(path):
            path = f"{self._folder.rstrip('/')}/{path}"
        for match in _ARCHIVE.finditer(path):
            archive = tidy(path[: match.end()])
            if self._is_archive(archive):
                return self._in_archive(archive, path[match.end() + 1 :], label, split)
        if _UNTIDY.search(path):
            path = tidy(path)
        if not self._take(path):
            return None
        return DataImage(Item(printable(path), label, path), label, self._manifest, self._key(written), split)

    def _is_archive(self, path: str) -> bool:
        if path not in self._is_file:
            self._is_file[path] = os.path.isfile(path)
        return self._is_file[path]

    def _in_archive(self, archive: str, inner: str, label: str, split: str) -> DataImage | None:
        if not inner:
            raise InputError(
                f"{self._manifest} names the archive {archive} as an image: name the images in it, as "
                f"{posixpath.basename(archive)}/benign/1.png"
            )
        if archive not in self._members:
            self._members[archive] = {item.name: item for item in list_inputs([archive])}
        members, name = self._members[archive], f"{printable(archive)}/{inner}"
        if name not in members:
            return None
        item, members[name] = members[name], None
        if item is None:
            raise self._twice(name)
        item = Item(item.name, label, item.source)
        return DataImage(item, label, archive, f"{set_name(archive)}/{inner}", split or own_split(item))

    def _take(self, path: str) -> bool:
        """Whether the file `path` is there; a second time is refused."""
        folder, last = posixpath.split(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder or ".")
        real = self._real[folder]
        if real not in self._left:
            self._left[real] = _files_in(real)
        if last in self._left[real]:
            self._left[real].remove(last)
            return True
        if last and os.path.lexists(path) and not os.path.isdir(path):
            raise self._twice(path)
        return False

    def _twice(self, name: str) -> InputError:
        return InputError(f"{self._manifest} names {name} twice: leave one of the rows out")

    def _key(self, written: str) -> str:
        path = written.replace(os.sep, "/")
        if _UNTIDY.search(path):
            path = posixpath.normpath(path)
        path = path.removeprefix(self._absolute).lstrip("/")
        while path.startswith("../"):
            path = path[3:]
        return printable(path)


def _files_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not _is_folder(entry)}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise InputError(f"cannot list the folder {folder} ({error.strerror or error}): make it readable") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed: found unreadable when it is decoded
        return False


def _sets_in_order(images: list[DataImage]) -> Iterable[DataImage]:
    """Image sets are read front to back (`radiodino.runtime.inputs.image_sets`): each comes at its first image."""
    sets: dict[tuple[str, str], list[tuple[int, DataImage]]] = {}
    for image in images:
        source = image.item.source
        if isinstance(source, SetImage):
            sets.setdefault((source.file, source.images.key), []).append((source.index, image))
    for image in images:
        source = image.item.source
        if not isinstance(source, SetImage):
            yield image
        else:
            own = sets.pop((source.file, source.images.key), [])
            yield from (one for _, one in sorted(own, key=lambda pair: pair[0]))
