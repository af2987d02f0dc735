"""Images with their masks, split into training, validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

from ..data.splits import SPLITS, assign_splits


class Pairs(Protocol):
    """What `radiodino.train.data.mask_pairs.open_pairs` gives."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(N, C, S, S), C = 1 or 3."""

    @property
    def masks(self) -> NDArray[np.uint8]:
        """(N, S, S), 0 or 1."""

    @property
    def names(self) -> Sequence[str]:
        """Of the images."""

    @property
    def keys(self) -> Sequence[str]:
        """Of the images, without the folders of the machine; see `assign_splits`."""

    @property
    def labels(self) -> Sequence[str]:
        """Of the images, empty text where there is none."""

    @property
    def sources(self) -> Sequence[str]:
        """Of the images: the data set that holds each."""

    @property
    def skipped(self) -> Mapping[str, str]:
        """Images left out, with the reason."""

    @property
    def remarks(self) -> Sequence[str]:
        """What a user must be told of the inputs."""


@dataclass(frozen=True)
class SplitPairs:
    """Images with masks and a split each."""

    pairs: Pairs
    lesions: NDArray[np.bool_]
    """(N,): whether the mask holds anything."""
    places: dict[str, NDArray[np.int64]]
    """Indices of the images of ``train``, ``val`` and ``test``, rising."""
    origin: str
    """How the split was made, in words."""

    @property
    def size(self) -> int:
        """Side of images and masks in pixels."""
        return int(self.pairs.masks.shape[-1])

    def counts(self) -> dict[str, dict[str, int]]:
        """For each split the number of images, of those with a lesion, and of each class."""
        found = {}
        for split, own in self.places.items():
            classes = Counter(self.pairs.labels[place] or "unlabelled" for place in own)
            with_lesion = int(self.lesions[own].sum())
            found[split] = {"images": len(own), "with a lesion": with_lesion, **dict(sorted(classes.items()))}
        return found


def split_pairs(
    pairs: Pairs,
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    group: str | None = None,
    lesions_only: bool = False,
) -> SplitPairs:
    """`pairs` with a seeded split, stratified by data set and class.

    Args:
        pairs: decoded images and masks.
        fractions: see `assign_splits`.
        seed: likewise.
        group: likewise.
        lesions_only: leave out images whose mask is empty. It is done after the split, so that an image is in the same
            split with and without it.

    Raises:
        InputError: where a split holds no image or none with a lesion, or see `assign_splits`.
    """
    strata = list(zip(pairs.sources, pairs.labels, strict=True))
    splits = np.array(assign_splits(pairs.keys, strata, fractions=fractions, seed=seed, group=group))
    lesions = np.array([bool(mask.any()) for mask in pairs.masks])
    kept = lesions if lesions_only else np.ones(len(lesions), bool)
    places = {split: np.flatnonzero((splits == split) & kept).astype(np.int64) for split in SPLITS}
    for split, own in places.items():
        if not lesions[own].any():
            raise InputError(
                f"the {split} split holds {len(own)} images and none with a lesion: give more images, or other "
                "--fractions"
            )
    shares = "/".join(f"{share:g}" for share in fractions)
    origin = f"seeded and stratified, {shares}, seed {seed}" + (f", grouped by {group}" if group else "")
    return SplitPairs(pairs, lesions, places, origin + (", images without a lesion left out" if lesions_only else ""))
