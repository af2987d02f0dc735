"""From what a user typed to the images of a data set, with labels, splits and names that hold on every machine.

Beside what `radiodino.runtime.inputs.listing` takes: manifests (`manifest`), ``medmnist:NAME[:SIZE]``
(`medmnist_sets`), and the layouts of published data sets (`layouts`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.folders import tidy
from radiodino.runtime.inputs.globs import Glob, is_glob
from radiodino.runtime.inputs.image_sets import SetImage
from radiodino.runtime.inputs.item import Item, printable
from radiodino.runtime.inputs.listing import Listing, list_inputs
from radiodino.runtime.inputs.zip_images import ZipMember

from ..weights.wording import some_of
from .data_image import DataImage, below, own_split, set_name
from .layouts import arrange
from .manifest import is_manifest
from .manifest_images import manifest_images
from .medmnist_sets import PREFIX, medmnist_images
from .splits import SPLITS, complete_splits


@dataclass(frozen=True)
class DataListing(Sequence[DataImage]):
    """The images of a data set, and what was left out of it."""

    images: Sequence[DataImage]
    remarks: tuple[str, ...] = ()
    """What a user must be told, as sentences."""
    masks: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)
    """The masks of images, by the name of the image."""
    unpaired: tuple[str, ...] = ()
    """Names of masks whose image is missing."""

    @overload
    def __getitem__(self, index: int) -> DataImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DataImage]: ...
    def __getitem__(self, index: int | slice) -> DataImage | Sequence[DataImage]:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[DataImage]:
        return iter(self.images)

    def sources(self) -> list[str]:
        """Of each image the name of the archive, image set, folder or manifest that it is a part of.

        It is the last part of the path, or the path as typed where two end in the same.
        """
        names = {root: set_name(root) for root in dict.fromkeys(image.root for image in self.images)}
        shared = Counter(names.values())
        names = {root: name if shared[name] == 1 else root for root, name in names.items()}
        return [names[image.root] for image in self.images]

    def only(self, split: str) -> DataListing:
        """The images of one split.

        Raises:
            InputError: there is no such split, an image does not say its own, or none is of this one.
        """
        if split not in SPLITS:
            raise InputError(f"'{split}' is no split: choose one of {', '.join(SPLITS)}")
        unknown = [image.item.name for image in self.images if not image.split]
        if unknown:
            raise InputError(
                f"{len(unknown)} of {len(self)} images do not say their split ({some_of(unknown)}): write one down "
                "with  radiodino-train split  and give the manifest that it writes"
            )
        own = [image for image in self.images if image.split == split]
        if not own:
            raise InputError(f"none of the {len(self)} images is of the split {split}: check the manifest or data set")
        return replace(self, images=own)

    def completed(
        self, *, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0, group: str | None = None
    ) -> tuple[DataListing, str]:
        """The same images, all with a split, and in words where it came from.

        Images keep the split that their data set or manifest says; the others get one, stratified by source and label.

        Raises:
            InputError: see `assign_splits`, which also says what the arguments are.
        """
        strata = [(source, image.label) for source, image in zip(self.sources(), self.images, strict=True)]
        splits, origin = complete_splits(
            [image.key for image in self.images],
            strata,
            [image.split for image in self.images],
            fractions=fractions,
            seed=seed,
            group=group,
        )
        images = [
            DataImage(image.item, image.label, image.root, image.key, split)
            for image, split in zip(self.images, splits, strict=True)
        ]
        return replace(self, images=images), origin


def list_data(inputs: Sequence[str], progress: Callable[[int, int], None] | None = None) -> DataListing:
    """The images behind `inputs`, without decoding any of them.

    The order is that of the inputs as typed. An image that is reached twice is listed once, the first time; where two
    manifests give it different splits, that is an error.

    Args:
        inputs: as `radiodino.runtime.inputs.listing.list_inputs` takes them; manifests; ``medmnist:NAME[:SIZE]``.
        progress: is told (done, total) in MiB while a MedMNIST set is fetched.

    Raises:
        InputError: an input is missing, empty or damaged; see `manifest_images`, `medmnist_images`.
        MissingExtraError: see `manifest_images`.
        OutputError: see `medmnist_images`.
    """
    images: list[DataImage] = []
    remarks: list[str] = []
    plain: list[int] = []  # positions of those whose layout says more
    if not inputs:
        raise InputError("no images were given: name folders, files, archives, manifests or medmnist:NAME")
    for typed in map(os.fspath, inputs):
        if typed.startswith(PREFIX):
            images += medmnist_images(typed, progress or (lambda _done, _total: None))
        elif is_manifest(typed):
            images += manifest_images(typed)
        else:
            listing = list_inputs([typed])
            first = len(images)
            images += described(listing, _rooted(typed))
            plain += range(first, len(images))
            remarks += [f"{typed}: {note}" for note in listing.notes()]
    if len(inputs) > 1:
        kept = _each_once(images)
        if len(kept) < len(images):
            remarks.append(f"reached twice and listed once: {len(images) - len(kept)} images")
        plain_set = set(plain)
        plain = [new for new, old in enumerate(kept) if old in plain_set]
        images = [images[position] for position in kept]
    return _arranged(images, plain, remarks)


def described(listing: Listing, rooted: Callable[[Item], str]) -> list[DataImage]:
    """The images of a plain listing; `rooted` gives the root of one."""
    found = []
    names: dict[str, str] = {}
    for item in listing:
        root = rooted(item)
        if root not in names:
            names[root] = set_name(root)
        key = f"{names[root]}/{below(root, item.name)}"
        found.append(DataImage(item, item.label, root, key, own_split(item)))
    return found


def root_of(item: Item) -> str:
    """The root of an item of which it is not known what was typed: its archive, or the folder above its label's."""
    if not isinstance(item.source, str):
        return printable(item.file)
    head = item.name.partition(f"/{item.label}/")[0] if item.label else item.name.rpartition("/")[0]
    return head or "."


def _rooted(typed: str) -> Callable[[Item], str]:
    """What gives the root of an item behind `typed`."""
    path = tidy(typed)
    if os.path.isdir(path):
        root = printable(path)
        return lambda _item: root
    if os.path.lexists(path) or not is_glob(path):
        folder = printable(path.rpartition("/")[0] or ("/" if path.startswith("/") else "."))
        return lambda item: folder if isinstance(item.source, str) else printable(item.file)
    base, glob = Glob.split(path)
    base, depth = printable(base), len(glob.patterns)

    def matched(item: Item) -> str:
        if not isinstance(item.source, str):
            return printable(item.file)
        parts = below(base, item.name).split("/")
        if len(parts) <= depth or "**" in glob.patterns:  # the file itself matches
            return base
        return item.name[: len(item.name) - sum(len(part) + 1 for part in parts[depth:])]

    return matched


def _each_once(images: Sequence[DataImage]) -> list[int]:
    """Positions of the images that are reached for the first time."""
    real: dict[str, str] = {}
    seen: dict[tuple[str, str, object], int] = {}
    for position, image in enumerate(images):
        source = image.item.source
        folder, last = os.path.split(image.item.file)
        if folder not in real:
            real[folder] = os.path.realpath(folder or ".")
        inside: object = None
        if isinstance(source, ZipMember):
            inside = source.offset
        elif isinstance(source, SetImage):
            inside = (source.images.key, source.index)
        first = images[seen.setdefault((real[folder], last, inside), position)]
        if first.split != image.split and first.split and image.split:
            raise InputError(
                f"{image.item.name} is of the split {first.split} in one input and of {image.split} in another: leave "
                "it out of one of them"
            )
    return list(seen.values())


def _arranged(images: list[DataImage], plain: Sequence[int], remarks: list[str]) -> DataListing:
    """With the labels and masks of layouts that are recognised."""
    roots: dict[str, list[int]] = {}
    for position in plain:
        if not isinstance(images[position].item.source, SetImage):
            roots.setdefault(images[position].root, []).append(position)
    masks: dict[str, tuple[Item, ...]] = {}
    unpaired: list[str] = []
    left_out: set[int] = set()
    for root, positions in roots.items():
        paths = [images[position].key.partition("/")[2] for position in positions]
        found = arrange(paths, [images[position].label for position in positions])
        for place, label in found.labels.items():
            image = images[positions[place]]
            images[positions[place]] = DataImage(image.item, label, image.root, image.key, image.split)
        for place, own in found.masks.items():
            masks[images[positions[place]].item.name] = tuple(images[positions[mask]].item for mask in own)
        unpaired += [images[positions[mask]].item.name for mask in found.unpaired]
        left_out |= {positions[mask] for mask in found.left_out}
        remarks += [f"{root}: {note}" for note in found.notes]
    kept = [image for position, image in enumerate(images) if position not in left_out] if left_out else images
    return DataListing(kept, tuple(remarks), masks, tuple(unpaired))
