"""Labelled images with a split, as every evaluation needs them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError
from radiodino.runtime.home import home

from .image_cache import ImageCache, open_cache
from .listing import list_data

_WHOLE = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class LabelledImages:
    """Decoded images with a class and a split each."""

    images: ImageCache
    classes: tuple[str, ...]
    """Names of the classes; where all are whole numbers in their order, else in alphabetical order."""
    targets: NDArray[np.int64]
    """(N,): the class of each image, an index into `classes`."""
    splits: tuple[str, ...]
    """Of each image: ``train``, ``val`` or ``test``."""
    origin: str
    """Where the split came from, in words."""

    def where(self, *splits: str) -> NDArray[np.int64]:
        """Indices of the images in any of `splits`, rising."""
        return np.flatnonzero(np.isin(np.array(self.splits), splits)).astype(np.int64)

    def class_counts(self, indices: NDArray[np.int64]) -> dict[str, int]:
        """How many of the images at `indices` are of each class, those of none included."""
        counts = np.bincount(self.targets[indices], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))


def labelled_images(
    inputs: Sequence[str],
    size: int,
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    group: str | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """The images behind `inputs` with their classes, split as the data set says, else seeded and stratified.

    The split is that of the whole list, which an image that cannot be read does not change.

    Args:
        inputs: see `open_images`.
        size: side of the stored images in pixels.
        fractions: see `radiodino.train.data.splits.assign_splits`; for images whose data set or manifest does not say
            their split.
        seed: likewise.
        group: likewise.
        cache: see `open_images`.
        progress: likewise.

    Raises:
        InputError: where an image has no label, there is one class only, or see `open_images`.
        OutputError: see `open_images`.
    """
    listing, origin = list_data(inputs, progress).completed(fractions=fractions, seed=seed, group=group)
    for image in listing:
        if not image.label:
            raise InputError(
                f"{image.item.name} has no label: put each class in a folder of its own, or name the labels in a "
                "manifest"
            )
    images = open_cache(listing, cache or home() / "images", size, progress)
    classes = _ordered(set(images.labels))
    if len(classes) < 2:
        raise InputError(f"all images have the label '{classes[0]}': at least two classes are needed")
    place = {name: index for index, name in enumerate(classes)}
    targets = np.array([place[label] for label in images.labels], np.int64)
    return LabelledImages(images, classes, targets, images.splits, origin)


def _ordered(labels: set[str]) -> tuple[str, ...]:
    ordered = sorted(labels)
    return tuple(sorted(ordered, key=int) if all(_WHOLE.fullmatch(label) for label in ordered) else ordered)
