from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError
from radiodino.train.data.listing import list_data
from radiodino.train.data.splits import SPLITS, assign_splits, complete_splits, group_of

GROUP = r"([a-z]+_[0-9]+)\.(?:jpg|png)$"

_keys = st.lists(st.text("abc/._0123456789", min_size=1, max_size=8), unique=True, min_size=1, max_size=60)
_shares = st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 10)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


@settings(deadline=None)
@given(_keys, _shares, st.integers(0, 9), st.randoms(use_true_random=False))
def test_fractions_hold_in_each_stratum_within_one_image(keys, shares, seed, random):
    strata = [random.choice("xyz") for _ in keys]
    splits = assign_splits(keys, strata, fractions=shares, seed=seed)
    for stratum in set(strata):
        own = Counter(split for split, found in zip(splits, strata, strict=True) if found == stratum)
        for name, share in zip(SPLITS, shares, strict=True):
            assert abs(own[name] - share * own.total()) <= 1


@settings(deadline=None)
@given(_keys, st.integers(0, 9), st.randoms(use_true_random=False))
def test_neither_order_nor_other_strata_matter(keys, seed, random):
    strata = [random.choice("xyz") for _ in keys]
    expected = dict(zip(keys, assign_splits(keys, strata, seed=seed), strict=True))
    pairs = list(zip(keys, strata, strict=True))
    random.shuffle(pairs)
    shuffled = assign_splits([key for key, _ in pairs], [stratum for _, stratum in pairs], seed=seed)
    assert dict(zip((key for key, _ in pairs), shuffled, strict=True)) == expected
    alone = [key for key, stratum in pairs if stratum == "x"]
    assert assign_splits(alone, ["other name"] * len(alone), seed=seed) == [expected[key] for key in alone]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from("xy")), min_size=1, max_size=60))
def test_groups_are_never_divided(images):
    keys = [f"{number}/p{patient}.png" for number, (patient, _, _) in enumerate(images)]
    own = ["val" if known == 0 else "" for _, known, _ in images]
    for given_splits in (None, own):
        strata = [stratum for _, _, stratum in images]
        splits = assign_splits(keys, strata, group=r"(p\d+)\.png", own=given_splits, fractions=(0.5, 0.2, 0.3))
        where = {}
        for (patient, _, _), split in zip(images, splits, strict=True):
            where.setdefault(patient, set()).add(split)
        assert all(len(found) == 1 for found in where.values())


def test_own_splits_stay_and_their_groups_follow():
    keys = ["a/p1.png", "b/p1.png", "a/p2.png", "b/p2.png"]
    splits = assign_splits(
        keys, ["a", "b", "a", "b"], group=r"(p\d)\.png", own=["test", "", "", "train"], fractions=(0, 1, 0)
    )  # fmt: skip
    assert splits == ["test", "test", "train", "train"]
    # what data sets themselves say is left alone, even where two of them disagree
    assert assign_splits(keys[:2], ["a", "b"], group=r"(p\d)\.png", own=["test", "train"]) == ["test", "train"]


def test_another_seed_gives_another_split():
    keys = [str(number) for number in range(50)]
    assert assign_splits(keys, [0] * 50, seed=1) != assign_splits(keys, [0] * 50, seed=2)


def test_frames_of_one_file_stay_together():
    splits = assign_splits(["a.tif"] * 5 + ["b.tif"] * 5, [0] * 10, fractions=(0.5, 0.0, 0.5))
    assert len(set(splits[:5])) == len(set(splits[5:])) == 1


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (-0.1, 0.6, 0.5), (float("nan"), 0.5, 0.5), (0.5, 0.5), ()])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(InputError, match="must add up to 1"):
        assign_splits(["a"], [0], fractions=fractions)


def test_expressions_that_are_none_are_refused():
    with pytest.raises(InputError, match="no regular expression"):
        assign_splits(["a"], [0], group="(")
    with pytest.raises(InputError, match="one group in parentheses, found 2"):
        assign_splits(["ab"], [0], group="(a)(b)")


def test_what_an_expression_does_not_find_is_a_group_of_its_own():
    assert [group_of(key, "x(y)?") for key in ("a", "x", "xy")] == ["a", "x", "y"]


def test_the_origin_is_said_in_words():
    say = lambda own, **options: complete_splits(["a", "b"], [0, 0], own, **options)[1]  # noqa: E731
    assert say(["", ""], seed=3) == "seeded and stratified, 0.7/0.1/0.2, seed 3"
    assert say(["", ""], group="(a)") == "seeded and stratified, 0.7/0.1/0.2, seed 0, grouped by (a)"
    assert say(["val", "test"]) == "as the data set or manifest says"
    assert say(["val", ""]).startswith("as the data set or manifest says for 1 of 2 images, the others seeded")


def test_the_demonstration_split_never_changes(data_dir):
    # of brain_mri_224, busi_256 and mednist_64: the demonstration model was trained on its train images
    inputs = [str(data_dir / name) for name in ("brain_mri_224.zip", "busi_256.zip", "mednist_64.zip")]
    listing, _ = list_data(inputs).completed(group=GROUP)
    rows = [(image.key, image.label, image.split) for image in listing]
    assert rows[0] == ("brain_mri_224.zip/glioma_tumor/0000.jpg", "glioma_tumor", "test")
    digest = hashlib.sha256("\n".join(map(",".join, rows)).encode()).hexdigest()
    assert digest == "e472a505b8bf9bdaa040b80e1ee3b956f6d5c14a6fed26786111dc4537db1551"
