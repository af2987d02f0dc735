from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from radiodino.runtime.errors import InputError
from radiodino.train.classify.folds import make_folds
from radiodino.train.data.image_cache import ImageCache
from radiodino.train.data.labelled import LabelledImages


def labelled(targets, splits, keys=None) -> LabelledImages:
    count = len(targets)
    names = tuple(f"{index}.png" for index in range(count))
    classes = tuple("abcdef"[: max(targets) + 1])
    images = ImageCache(
        folder=Path("none"),
        pixels=np.zeros((count, 1, 2, 2), np.uint8),
        names=names,
        labels=tuple(classes[target] for target in targets),
        sources=("",) * count,
        unreadable={},
        splits=tuple(splits),
        keys=tuple(keys or names),
        listed=count,
        remarks=(),
    )
    return LabelledImages(images, classes, np.array(targets, np.int64), tuple(splits), "by hand")


def shuffled(seed, train, val, test):
    """Images of as many classes as counts are given, in a random order."""
    pairs = [
        (target, split)
        for split, counts in (("train", train), ("val", val), ("test", test))
        for target, count in enumerate(counts)
        for _ in range(count)
    ]
    np.random.default_rng(seed).shuffle(pairs)
    return labelled([int(target) for target, _ in pairs], [split for _, split in pairs])


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6), st.lists(st.integers(6, 30), min_size=2, max_size=4), st.integers(0, 2**31))
def test_folds_are_disjoint_complete_and_stratified(count, classes, seed):
    images = shuffled(seed, classes, [2] * len(classes), [3] * len(classes))
    folds = make_folds(images, count, seed)
    pool = set(images.where("train", "val").tolist())
    assert len(folds) == count
    assert sorted(np.concatenate([fold.val for fold in folds]).tolist()) == sorted(pool)
    for fold in folds:
        train, val, test = (set(part.tolist()) for part in (fold.train, fold.val, fold.test))
        assert not (train & val) | (train & test) | (val & test)
        assert train | val == pool
        assert test == set(images.where("test").tolist())
        for name, part in (("train", fold.train), ("val", fold.val), ("test", fold.test)):
            assert (np.diff(part) > 0).all(), name
        for target, held in enumerate(classes):
            found = int((images.targets[fold.val] == target).sum())
            assert abs(found - (held + 2) / count) < 1


def test_the_seed_decides():
    images = shuffled(0, [20, 20], [2, 2], [2, 2])
    first, again, other = (make_folds(images, 3, seed)[0].val.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_one_fold_is_the_split_as_it_is():
    images = shuffled(0, [5, 5], [2, 3], [1, 1])
    (fold,) = make_folds(images, 1)
    for split in ("train", "val", "test"):
        assert np.array_equal(getattr(fold, split), images.where(split))


def test_a_group_stays_together():
    images = shuffled(0, [30, 30], [0, 0], [3, 3])
    folds = make_folds(images, 4, 0, r"(\d)\.png")  # of the last digit
    for fold in folds:
        assert not {i % 10 for i in fold.train} & {i % 10 for i in fold.val}
    assert sum(len(fold.val) for fold in folds) == 60


def test_the_frames_of_a_file_stay_together():
    keys = [f"{index // 3}.dcm" for index in range(36)]
    targets = [index // 3 % 2 for index in range(36)]
    folds = make_folds(labelled(targets, ["test"] * 6 + ["train"] * 30, keys), 5)
    for fold in folds:
        assert not {keys[i] for i in fold.train} & {keys[i] for i in fold.val}


@pytest.mark.parametrize(
    ("train", "val", "test", "count", "group", "reason"),
    [
        ([9, 9], [1, 1], [0, 0], 2, None, "no image is in the test split"),
        ([9, 3], [1, 1], [1, 1], 5, None, "class 'b' has 4 images in train and val, fewer than the 5 folds"),
        ([9, 9], [2, 0], [1, 1], 1, None, "fold 1 has no image of the class 'b' to validate on"),
        ([9, 9], [0, 0], [1, 1], 1, None, "fold 1 has no image of the class 'a' to validate on"),
        ([9, 0], [2, 2], [1, 1], 1, None, "fold 1 has no image of the class 'b' to train on"),
        ([9, 9], [1, 1], [1, 1], 3, r"\.(png)", "form 1 groups, fewer than the 3 folds"),
        ([9, 9], [1, 1], [1, 1], 2, r"\.(png", "is no regular expression"),
    ],
)
def test_too_few_images_are_refused(train, val, test, count, group, reason):
    images = shuffled(0, train, val, test)
    with pytest.raises(InputError, match=reason):
        make_folds(images, count, 0, group)


def test_a_class_in_one_group_alone_is_refused():
    keys = [f"{index % 2}-{index}.png" for index in range(24)]
    images = labelled([index % 2 for index in range(24)], ["test"] * 4 + ["train"] * 20, keys)
    with pytest.raises(InputError, match="fold 1 has no image of the class"):
        make_folds(images, 2, 0, r"^(\d)")
