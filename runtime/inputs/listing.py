r"""From what a user typed to the list of images: files, folders, globs, zip archives and MedMNIST image sets.

The rules, so that a list is the same on every machine and a run can be resumed:

- **Names** begin with what was typed and go on below it, with ``/``: ``data/benign/1.png``, ``set.zip/benign/1.png``,
  ``set.npz/train_images/12``. They are unique in a list. What of a file name is no UTF-8 is written ``\udcff``.
- **Order** is that of the inputs as typed; inside each it is that of the path's components, by code point.
- **Labels** are the first folder below a typed folder or inside a zip archive, as in torchvision's ``ImageFolder``;
  images directly in it, typed files and what a glob matches have none (``""``).
- **Skipped** in folders, archives and by globs: hidden names, kinds of file that are no images (`left_out`), states of
  unfinished runs, and archives inside folders and archives. They are counted and said. A file of any other kind is
  listed, since DICOM files often have no suffix; a file that was typed is always listed.
- **The same folder entry reached twice** is listed once, the first time. Links to folders are followed. A linked or
  copied file is an image of its own.
- **A damaged** zip archive whose table of contents cannot be read, or a damaged image set, is an error of the input. A
  damaged, encrypted or oversized member of a zip archive is one unreadable image.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from ..errors import InputError
from .folders import Walk, tidy
from .globs import Glob, is_glob
from .image_sets import Blocks, list_image_set
from .item import Item
from .left_out import ARCHIVE, TWICE, LeftOut
from .zip_images import list_zip


@dataclass(frozen=True)
class Listing(Sequence[Item]):
    """The images of a run, and what was left out of it."""

    items: list[Item]
    skipped: Mapping[str, int]
    """How many of each kind were skipped, archives aside."""
    archives: tuple[str, ...]
    """Archives inside folders or archives, which were not opened."""
    twice: int
    """Images and folders that were reached a second time."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def notes(self) -> list[str]:
        """What a user must be told: a sentence for each way in which something was left out."""
        notes = []
        if self.skipped:
            kinds = sorted(self.skipped.items(), key=lambda kind: (-kind[1], kind[0]))
            notes.append(f"skipped as no images: {', '.join(f'{count} {kind}' for kind, count in kinds)}")
        if self.archives:
            more = f" and {len(self.archives) - 3} more" if len(self.archives) > 3 else ""
            notes.append(
                f"not opened, as they lie inside a folder or an archive: {', '.join(self.archives[:3])}{more} "
                "(name them as inputs to read them)"
            )
        if self.twice:
            notes.append(f"reached twice and listed once: {self.twice} images or folders")
        return notes


def list_inputs(inputs: Sequence[str | os.PathLike[str]]) -> Listing:
    """The images behind `inputs`, without decoding any of them; of an image set the checksum is verified.

    Args:
        inputs: files, folders (searched to any depth), globs (``*``, ``?``, ``[…]`` and ``**``; a folder that a glob
            without ``**`` matches counts as typed), ``.zip`` archives, and ``.npz`` image sets: arrays ``images`` or
            ``…_images`` of uint8 or uint16, (n, H, W) or (n, H, W, 3), with ``labels`` or ``…_labels`` beside them.

    Raises:
        InputError: an input is missing, empty, unreadable, damaged or matches nothing, or two images would have one
            name.
    """
    if not inputs:
        raise InputError("no inputs were given: name files, folders, globs, .zip archives or .npz image sets")
    walk, blocks = Walk(), Blocks()
    found: list[Item | LeftOut] = []
    for typed in inputs:
        found += _behind(os.fspath(typed), walk, blocks)
    items = [one for one in found if isinstance(one, Item)]
    _refuse_ambiguous_names(items)
    left_out = [one for one in found if isinstance(one, LeftOut)]
    why = Counter(one.why for one in left_out)
    archives = tuple(one.name for one in left_out if one.why == ARCHIVE)
    skipped = {kind: count for kind, count in why.items() if kind not in (ARCHIVE, TWICE)}
    return Listing(items, skipped, archives, why[TWICE])


def _behind(typed: str, walk: Walk, blocks: Blocks) -> list[Item | LeftOut]:
    """What is behind one input, of which something must be an image."""
    nothing, paths = _walked(typed, walk)
    try:
        found = [one for path in paths for one in _opened(path, blocks)]
    except RecursionError:
        raise InputError(f"the folders in {typed} are nested too deeply: name one further down") from None
    if all(isinstance(one, LeftOut) and one.why != TWICE for one in found):
        only = f" ({len(found)} skipped as no images)" if found else ""
        raise InputError(f"{nothing}{only}: check what was named")
    return found


def _walked(typed: str, walk: Walk) -> tuple[str, Iterable[Item | LeftOut]]:
    """What to say where nothing is found, and the files behind one input, archives unopened."""
    if not typed:
        raise InputError("an input is an empty text: name a file, a folder, a glob, a .zip archive or a .npz set")
    path = tidy(typed)
    if os.path.isdir(path):
        return f"there are no images in the folder {typed}", walk.folder(path)
    if os.path.isfile(path):
        return f"there are no images in the archive {typed}", [walk.file(path)]
    if os.path.lexists(path):
        raise InputError(f"{typed} is neither a readable file nor a folder: check where it leads")
    if not is_glob(path):
        raise InputError(f"there is no readable file or folder {typed}: check the path")
    base, glob = Glob.split(path)
    if not os.path.isdir(base):
        raise InputError(f"nothing matches {typed}, as there is no readable folder {base}: check the path")
    return f"nothing matches {typed}", walk.glob(base, glob)


def _opened(found: Item | LeftOut, blocks: Blocks) -> Iterable[Item | LeftOut]:
    """The images of an archive that was typed or that a glob matched (others are left out), or `found` itself."""
    if isinstance(found, LeftOut):
        return [found]
    suffix = os.path.splitext(found.file)[1].lower()
    if suffix == ".zip":
        return list_zip(found.file)
    if suffix == ".npz":
        return list_image_set(found.file, blocks)
    return [found]


def _refuse_ambiguous_names(items: list[Item]) -> None:
    """Rows of a file with several frames are called ``NAME#FRAME``, so no other input may be called that."""
    names: set[str] = set()
    for item in items:
        stem, mark, frame = item.name.rpartition("#")
        if mark and frame.isdigit():
            names = names or {other.name for other in items}
            if stem in names:
                raise InputError(f"{item.name} is named like a frame of {stem}: rename one of them, or leave one out")
    altered = Counter(item.name for item in items if r"\udc" in item.name)
    for name, count in altered.items():
        if count > 1:
            raise InputError(f"two inputs would be called {name}: rename one of them, or leave one out")
