"""Which images are the gallery and which the queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

from ..data.image_cache import ImageCache
from ..data.labelled import LabelledImages, labelled_images
from ..data.splits import SPLITS


@dataclass(frozen=True)
class TaskSettings:
    """How gallery and queries are chosen."""

    data: tuple[str, ...] = ()
    """Images with splits; or both of the next."""
    gallery_data: tuple[str, ...] = ()
    query_data: tuple[str, ...] = ()
    gallery: tuple[str, ...] = ("train",)
    """Splits of `data`."""
    queries: tuple[str, ...] = ("test",)
    """Likewise."""
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: int = 0
    group: str | None = None


@dataclass(frozen=True)
class Part:
    """Gallery or queries."""

    images: ImageCache
    indices: NDArray[np.int64]
    """Of the images that belong to it."""
    targets: NDArray[np.int64]
    """(N,): class of each, an index into the classes of the task."""
    splits: tuple[str, ...]
    """Of each: ``train``, ``val`` or ``test``; with data of their own: ``gallery`` or ``queries``."""

    def names(self) -> list[str]:
        """Of the images that belong to it."""
        return [self.images.names[index] for index in self.indices]


@dataclass(frozen=True)
class Task:
    """Gallery and queries at one image size."""

    classes: tuple[str, ...]
    gallery: Part
    queries: Part
    origin: str
    """Where the split came from, in words."""

    def describe(self) -> dict[str, Any]:
        """Counts, the origin of the split, unreadable images with the reason of each, and notes; JSON-able."""
        unreadable = {**self.gallery.images.unreadable, **self.queries.images.unreadable}
        notes = [*self.gallery.images.notes(), *self.queries.images.notes()]
        return {
            "classes": list(self.classes),
            "gallery": self._counts(self.gallery),
            "queries": self._counts(self.queries),
            "origin": self.origin,
            "unreadable": unreadable,
            "notes": list(dict.fromkeys(notes)),
        }

    def _counts(self, part: Part) -> dict[str, Any]:
        found = Counter(part.targets.tolist())
        return {
            "images": len(part.indices),
            "per_class": {name: found[place] for place, name in enumerate(self.classes)},
        }


def load_task(
    settings: TaskSettings,
    size: int,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Task:
    """Decode the images of a task.

    Args:
        settings: what to take.
        size: side of the decoded images in pixels.
        cache: see `radiodino.train.data.open_images`.
        progress: likewise.

    Raises:
        InputError: where no images or not both parts are named, a split is unknown, empty or in both parts, an image
            is in both, a class of the queries is missing from the gallery, or see `labelled_images`.
        OutputError: see `labelled_images`.
    """
    _check(settings)

    def load(inputs: Sequence[str]) -> LabelledImages:
        return labelled_images(
            inputs,
            size,
            fractions=settings.fractions,
            seed=settings.seed,
            group=settings.group,
            cache=cache,
            progress=progress,
        )

    if settings.data:
        found = load(settings.data)
        gallery, queries = _of_splits(found, settings.gallery), _of_splits(found, settings.queries)
        task = Task(found.classes, gallery, queries, found.origin)
    else:
        one, other = load(settings.gallery_data), load(settings.query_data)
        unknown = [name for name in other.classes if name not in one.classes]
        if unknown:
            raise InputError(
                f"the queries have the class '{unknown[0]}', which the gallery ({', '.join(one.classes)}) lacks: "
                "it could never be found; leave it out, or add it to the gallery"
            )
        place = np.array([one.classes.index(name) for name in other.classes], np.int64)
        gallery = _whole(one, one.targets, "gallery")
        queries = _whole(other, place[other.targets], "queries")
        task = Task(one.classes, gallery, queries, "gallery and queries were given separately")
    _refuse_overlap(task)
    return task


def _check(settings: TaskSettings) -> None:
    separate = bool(settings.gallery_data), bool(settings.query_data)
    if bool(settings.data) == any(separate) or separate[0] != separate[1]:
        raise InputError("name the images with --data, or gallery and queries with --gallery-data and --query-data")
    for name in (*settings.gallery, *settings.queries):
        if name not in SPLITS:
            raise InputError(f"there is no split '{name}': choose from {', '.join(SPLITS)}")
    both = set(settings.gallery) & set(settings.queries)
    if both and settings.data:
        raise InputError(f"the split '{both.pop()}' is both gallery and queries: each image would find itself")


def _of_splits(found: LabelledImages, splits: tuple[str, ...]) -> Part:
    indices = found.where(*splits)
    if not len(indices):
        raise InputError(f"there are no images in the split {', '.join(splits)} ({found.origin}): change the fractions")
    return Part(found.images, indices, found.targets[indices], tuple(found.splits[index] for index in indices))


def _whole(found: LabelledImages, targets: NDArray[np.int64], part: str) -> Part:
    return Part(found.images, np.arange(len(targets)), targets, (part,) * len(targets))


def _refuse_overlap(task: Task) -> None:
    common = set(task.gallery.names()) & set(task.queries.names())
    if common:
        raise InputError(
            f"{min(common)} and {len(common) - 1} more images are both in the gallery and among the queries: each "
            "would find itself; leave them out of one"
        )
