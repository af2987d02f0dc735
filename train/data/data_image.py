"""One image of a data set: where it lies, its label, its split, and what it is called on every machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from radiodino.runtime.inputs.image_sets import SetImage
from radiodino.runtime.inputs.item import Item, printable

SET_SPLITS = {"train_images": "train", "val_images": "val", "test_images": "test"}
"""The split that an array of an image set holds, by its name (MedMNIST's layout)."""


@dataclass(frozen=True, slots=True)
class DataImage:
    """One image of a data set, not decoded."""

    item: Item
    label: str
    """Empty text where there is none."""
    root: str
    """What it is a part of, as typed: the archive or image set, the typed folder (of a typed file or a match of a glob:
    the folder that it was searched in), or the manifest that names it as a file."""
    key: str
    """Its name without the folders of the machine: the last part of what was typed, and what follows below that, as
    ``set.zip/benign/1.png``. Of a file that a manifest names: its path as written there, without leading ``../``. Two
    inputs of one name share keys."""
    split: str = ""
    """``train``, ``val`` or ``test`` where the data set or a manifest says so, else empty text."""


def below(root: str, name: str) -> str:
    """What follows of `name` below the folder or archive `root`, both as the listing writes them."""
    if root == ".":
        return name
    return name[len(root) + (not root.endswith("/")) :]


def set_name(root: str) -> str:
    """The last part of the path `root`."""
    last = root.rpartition("/")[2]
    return printable(os.path.basename(os.path.abspath(root))) if last in ("", ".", "..") else last


def own_split(item: Item) -> str:
    """The split that an image set's array says, else empty text."""
    source = item.source
    return SET_SPLITS.get(source.images.key, "") if isinstance(source, SetImage) else ""
