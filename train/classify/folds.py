"""Which images a fold trains on, validates on and is tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from ..data.labelled import LabelledImages
from ..data.splits import group_of


@dataclass(frozen=True)
class Fold:
    """Indices of images, int64, rising; the three share none."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def make_folds(labelled: LabelledImages, count: int, seed: int = 0, group: str | None = None) -> tuple[Fold, ...]:
    """The folds of a stratified cross-validation over the images of train and val; test is the same in all.

    Args:
        labelled: images with a class and a split each.
        count: of folds: each validates on its own part of train and val, and trains on the others. 1 trains on train
            and validates on val as they are.
        seed: another one gives other folds.
        group: see `radiodino.train.data.splits.assign_splits`; images of a group go to the same fold, and so do in
            any case the frames of a file.

    Raises:
        InputError: where a class has too few images, or a part would have none.
        MissingExtraError: where scikit-learn is not installed.
    """
    test = labelled.where("test")
    if not len(test):
        raise InputError("no image is in the test split: give it a share, for example --fractions 0.7,0.1,0.2")
    if count == 1:
        folds = [Fold(labelled.where("train"), labelled.where("val"), test)]
    else:
        folds = [Fold(train, val, test) for train, val in _cross_validation(labelled, count, seed, group)]
    for number, fold in enumerate(folds, 1):
        for name, indices in (("train", fold.train), ("validate", fold.val)):
            absent = set(range(len(labelled.classes))) - set(labelled.targets[indices].tolist())
            if absent:
                raise InputError(
                    f"fold {number} has no image of the class '{labelled.classes[min(absent)]}' to {name} on: choose "
                    "another seed or fewer folds, or other shares of the split"
                )
    return tuple(folds)


def _cross_validation(
    labelled: LabelledImages, count: int, seed: int, group: str | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    require("train", "sklearn")
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    pool = labelled.where("train", "val")
    targets = labelled.targets[pool]
    for name, found in zip(labelled.classes, np.bincount(targets, minlength=len(labelled.classes)), strict=True):
        if found < count:
            raise InputError(
                f"the class '{name}' has {found} images in train and val, fewer than the {count} folds: give it more "
                "images, or lower --folds"
            )
    _, groups = np.unique([group_of(labelled.images.keys[index], group) for index in pool], return_inverse=True)
    together = int(groups.max()) + 1
    if together < count:
        raise InputError(
            f"the images of train and val form {together} groups, fewer than the {count} folds: lower --folds, or give "
            "another --group"
        )
    if together == len(pool):
        parts = StratifiedKFold(count, shuffle=True, random_state=seed).split(targets, targets)
    else:
        parts = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(targets, targets, groups)
    return [(pool[train], pool[val]) for train, val in parts]
