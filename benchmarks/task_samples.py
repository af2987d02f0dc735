"""The real images of `radiodino.benchmarks.task_accuracy`: held-out ones with a class or a mask, and further ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.errors import InputError
from radiodino.train.data.labelled import labelled_images
from radiodino.train.data.mask_pairs import open_pairs
from radiodino.train.data.open_images import open_images
from radiodino.train.data.splits import SplitSettings
from radiodino.train.segment.pairs import split_pairs

Progress = Callable[[int, int], None]
CLASSES, MASKS, FURTHER = "classes", "masks", "further"


@dataclass(frozen=True)
class Sample:
    """Some real images."""

    kind: str
    """`CLASSES`, `MASKS` or `FURTHER`."""
    pixels: NDArray[np.uint8]
    """Memory-mapped uint8 (M, C, S, S), C = 1 or 3, resized as the model card does; other images lie there too."""
    places: NDArray[np.int64]
    """(N,): where the images of this sample lie in `pixels`."""
    names: tuple[str, ...]
    """(N,)."""
    labels: tuple[str, ...]
    """(N,): empty text where there is none."""
    origin: str
    """In words: which images these are."""
    notes: tuple[str, ...]
    """What a user must be told of them, as sentences."""
    targets: NDArray[np.int64] | None = None
    """(N,) of `CLASSES`: the true class, an index into those of the file."""
    masks: NDArray[np.uint8] | None = None
    """(M, S, S) of `MASKS`: 1 where a lesion is."""

    def __len__(self) -> int:
        return len(self.places)

    def images(self, places: NDArray[np.int64]) -> Iterator[Image.Image]:
        """Those at `places` of `pixels`, as stored.

        A `radiodino.runtime.preprocessing.Preprocessor` finds nothing to resize in them, and gives the very values that
        it gives for the images as they came.
        """
        for place in places:
            planes = np.asarray(self.pixels[place])
            yield Image.fromarray(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))


def labelled_sample(
    inputs: Sequence[str],
    size: int,
    classes: Sequence[str],
    split: SplitSettings,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Sample:
    """The test images behind `inputs`, split as ``radiodino-train finetune`` splits them.

    Args:
        inputs: see `radiodino.train.data.labelled.labelled_images`.
        size: side in pixels that the file takes.
        classes: names of the file's.
        split: for images whose data set or manifest says no split.
        cache: see `labelled_images`.
        progress: likewise.

    Raises:
        InputError: a label is none of `classes`, no image is for testing, or see `labelled_images`.
    """
    found = labelled_images(
        inputs,
        size,
        fractions=split.fractions,
        seed=split.seed,
        group=split.group,
        cache=cache,
        progress=progress,
    )
    foreign = [name for name in found.classes if name not in classes]
    if foreign:
        raise InputError(
            f"the images have the label {' and '.join(foreign)}, and the file knows {', '.join(classes)}: give --data "
            "the data set that its head was trained on"
        )
    places = found.where("test")
    if not len(places):
        raise InputError(
            f"none of the {len(found.targets)} labelled images is in the test split ({found.origin}): give other "
            "images, or other --fractions"
        )
    own = np.array([classes.index(name) for name in found.classes], np.int64)
    return Sample(
        CLASSES,
        found.images.pixels,
        places,
        tuple(found.images.names[place] for place in places),
        tuple(found.images.labels[place] for place in places),
        f"{len(places)} test images of {_sources(found.images.sources, places)} (split {found.origin})",
        tuple(found.images.notes()),
        targets=own[found.targets[places]],
    )


def masked_sample(
    inputs: Sequence[str],
    size: int,
    split: SplitSettings,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Sample:
    """The test images with masks behind `inputs`, split as ``radiodino-train segment`` splits them.

    Args:
        inputs: see `radiodino.train.data.mask_pairs.open_pairs`.
        size: as in `labelled_sample`, as the others.
        split: likewise.
        cache: likewise.
        progress: likewise.

    Raises:
        InputError: see `open_pairs` and `radiodino.train.segment.pairs.split_pairs`.
    """
    pairs = open_pairs(inputs, size, cache, progress)
    found = split_pairs(pairs, fractions=split.fractions, seed=split.seed, group=split.group)
    places = found.places["test"]
    skipped = [f"{name} was left out: {reason}" for name, reason in pairs.skipped.items()]
    lesions = int(found.lesions[places].sum())
    return Sample(
        MASKS,
        pairs.pixels,
        places,
        tuple(pairs.names[place] for place in places),
        tuple(pairs.labels[place] for place in places),
        f"{len(places)} test images with masks of {_sources(pairs.sources, places)}, {lesions} of them with a lesion "
        f"(split {found.origin})",
        (*pairs.remarks, *skipped),
        masks=pairs.masks,
    )


def further_sample(
    inputs: Sequence[str], size: int, cache: Path | None = None, progress: Progress | None = None
) -> Sample:
    """All images behind `inputs`, whatever they show.

    Args:
        inputs: see `radiodino.train.data.open_images.open_images`.
        size: as in `labelled_sample`, as the others.
        cache: likewise.
        progress: likewise.

    Raises:
        InputError: see `open_images`.
    """
    found = open_images(inputs, size, cache=cache, progress=progress)
    places = np.arange(len(found))
    origin = f"{len(found)} images of {_sources(found.sources, places)}"
    return Sample(FURTHER, found.pixels, places, found.names, found.labels, origin, tuple(found.notes()))


def _sources(sources: Sequence[str], places: NDArray[np.int64]) -> str:
    return ", ".join(dict.fromkeys(sources[place] for place in places))
