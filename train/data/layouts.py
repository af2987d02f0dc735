"""Layouts of published data sets, in which a file is a mask and no image, or the label is not the first folder.

- **BUSI's own**: ``benign/benign (1).png`` with ``benign (1)_mask.png``, ``benign (1)_mask_1.png`` beside it. The
  folder ``Dataset_BUSI_with_GT`` is looked through where it holds all images of an archive or folder.
- **images/ and masks/** next to each other, a mask having the stem of its image (or that with ``_mask``, ``_mask_1``).
  Where ``images`` is the first folder, the label is the folder below it, else the stem before its last number:
  ``benign_001`` and ``benign (1)`` are ``benign``.
- **RadImageNet's**: folders ``CT``, ``MR``, ``US`` and no others, in these folders of anatomies, in these folders of
  classes with PNG files: the label is modality, anatomy and class joined, ``CT-abd-normal``; an image that lies higher
  up has none. The folder ``radiology_ai`` is looked through.

A layout is recognised by its files alone: a ``…_mask`` is a mask where at least one lies beside its image.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_WRAPPERS = frozenset({"Dataset_BUSI_with_GT", "radiology_ai"})
"""Folders of published archives that name the data set and no class."""
_MODALITIES = frozenset({"CT", "MR", "US"})
_MASK_STEM = re.compile(r"(.+)_mask(?:_\d+)?", re.DOTALL)
_NUMBERED = re.compile(r"(.+)[_ ]\(?\d+\)?", re.DOTALL)


@dataclass(frozen=True)
class Arrangement:
    """What the paths in one folder or archive are, by their positions."""

    labels: dict[int, str] = field(default_factory=dict)
    """Labels that differ from the first folder, of images."""
    masks: dict[int, list[int]] = field(default_factory=dict)
    """The masks of each image that has one."""
    unpaired: list[int] = field(default_factory=list)
    """Masks whose image is missing."""
    notes: list[str] = field(default_factory=list)
    """What was recognised, as phrases."""

    @property
    def left_out(self) -> set[int]:
        """All masks: they are no images."""
        return {mask for masks in self.masks.values() for mask in masks} | set(self.unpaired)


def arrange(paths: Sequence[str], labels: Sequence[str]) -> Arrangement:
    """Recognise the layout of one folder or archive.

    Args:
        paths: of its files, below it, with ``/``.
        labels: of each the first folder; empty text where it shall have no label, which then stays so.
    """
    places = _mask_places(paths)
    found = Arrangement()
    images = defaultdict(list)
    for position, path in enumerate(paths if places else ()):
        if position not in places:
            images[_place(path)].append(position)
    for position, place in places.items():
        if place not in images:
            found.unpaired.append(position)
        for image in images.get(place, ()):
            found.masks.setdefault(image, []).append(position)
    if places:
        found.notes.append(f"{len(places)} masks are no images and are left out of them")
    found.labels.update(_labels(paths, labels, found, bool(places)))
    return found


def _labels(
    paths: Sequence[str], labels: Sequence[str], found: Arrangement, has_masks: bool
) -> Iterable[tuple[int, str]]:
    wrapped = len(firsts := {path.partition("/")[0] for path in paths}) == 1 and firsts <= _WRAPPERS
    inner = [path.partition("/")[2] for path in paths] if wrapped else paths
    is_radimagenet = {path.partition("/")[0] for path in inner} <= _MODALITIES and any(
        path.count("/") == 3 and path.lower().endswith(".png") for path in inner
    )
    if is_radimagenet:
        found.notes.append("RadImageNet's layout: labels are modality-anatomy-class")
    elif has_masks and any(path.partition("/")[0].lower() == "images" for path in inner):
        found.notes.append("labels are the names in images/ without their numbers")
    elif not wrapped:
        return
    for position, path in enumerate(inner):
        if labels[position]:
            folders = path.split("/")[:-1]
            if is_radimagenet:
                yield position, "-".join(folders[:3]) if len(folders) > 2 else ""
            elif folders and folders[0].lower() == "images" and has_masks:
                yield position, folders[1] if len(folders) > 1 else _without_number(_stem(path))
            elif wrapped:
                yield position, folders[0] if folders else ""


def _mask_places(paths: Sequence[str]) -> dict[int, str]:
    """The masks, and of each the place of its image; the place of a file is its folder and stem."""
    named = [position for position, path in enumerate(paths) if "mask" in path.lower()]
    if not named:
        return {}
    places = {_place(path) for path in paths}
    in_folders, beside = {}, {}
    for position in named:
        folder, _, stem = _place(paths[position]).rpartition("/")
        parts = folder.split("/")
        match = _MASK_STEM.fullmatch(stem)
        if "masks" in parts:
            turn = len(parts) - 1 - parts[::-1].index("masks")
            where = "/".join([*parts[:turn], "images", *parts[turn + 1 :]])
            stripped = f"{where}/{match[1] if match else stem}"
            in_folders[position] = "/".join(parts[:turn]), stripped if stripped in places else f"{where}/{stem}"
        elif match:
            beside[position] = f"{folder}/{match[1]}"
    known = {folder for folder, place in in_folders.values() if place in places}
    masks = {position: place for position, (folder, place) in in_folders.items() if folder in known}
    if any(place in places for place in beside.values()):
        masks |= beside
    return masks


def _place(path: str) -> str:
    """Folder and stem, the names ``images`` and ``masks`` in lower case."""
    folder, _, _ = path.rpartition("/")
    parts = [part.lower() if part.lower() in ("images", "masks") else part for part in folder.split("/")]
    return f"{'/'.join(parts)}/{_stem(path)}"


def _stem(path: str) -> str:
    last = path.rpartition("/")[2]
    return last.rpartition(".")[0] or last


def _without_number(stem: str) -> str:
    match = _NUMBERED.fullmatch(stem)
    return match[1] if match else ""
