from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from radiodino.runtime.errors import InputError
from radiodino.train.data.labelled import labelled_images


@pytest.fixture
def folder(here, png):
    for label, count in (("a", 10), ("b", 20)):
        (here / "d" / label).mkdir(parents=True)
        for index in range(count):
            (here / "d" / label / f"p{index // 2}_{index}.png").write_bytes(png(index))
    return "d"


def test_classes_targets_and_a_stratified_split(folder, here):
    labelled = labelled_images([folder], 8, fractions=(0.5, 0.2, 0.3), cache=here / "cache")
    assert labelled.classes == ("a", "b")
    assert [labelled.classes[target] for target in labelled.targets] == list(labelled.images.labels)
    counts = Counter(zip(labelled.images.labels, labelled.splits, strict=True))
    assert [counts["b", split] for split in ("train", "val", "test")] == [10, 4, 6]
    assert labelled.origin == "seeded and stratified, 0.5/0.2/0.3, seed 0"
    assert labelled.images.splits == labelled.splits
    both = labelled.where("val", "test")
    assert both.dtype == np.int64
    assert set(np.array(labelled.splits)[both]) == {"val", "test"}


def test_an_unreadable_image_changes_no_split(folder, here):
    before = labelled_images([folder], 8, cache=here / "cache")
    (here / "d" / "b" / "p3_7.png").write_bytes(b"text")
    after = labelled_images([folder], 8, cache=here / "cache")
    expected = dict(zip(before.images.names, before.splits, strict=True))
    assert len(after.images) == 29
    assert dict(zip(after.images.names, after.splits, strict=True)).items() <= expected.items()
    assert after.targets.shape == (29,)


def test_own_splits_stay_and_groups_follow(folder, here):
    (here / "m.csv").write_text(
        "path,label,split\n" + "".join(f"d/b/p{i // 2}_{i}.png,b,{'test' if i == 0 else ''}\n" for i in range(20))
        + "".join(f"d/a/p{i // 2}_{i}.png,a,\n" for i in range(10))
    )  # fmt: skip
    labelled = labelled_images(["m.csv"], 8, fractions=(1, 0, 0), group=r"(b/p\d+)_", cache=here / "cache")
    tested = [name for name, split in zip(labelled.images.names, labelled.splits, strict=True) if split == "test"]
    assert tested == ["d/b/p0_0.png", "d/b/p0_1.png"]
    assert labelled.origin.startswith("as the data set or manifest says for 1 of 30 images, the others seeded")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["1", "01", "2"], ("01", "1", "2")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["²", "10", "9"], ("10", "9", "²")),
    ],
)
def test_order_of_classes(here, png, labels, classes):
    rows = ["path,label"]
    for index, label in enumerate(labels):
        (here / f"{index}.png").write_bytes(png(index))
        rows.append(f"{index}.png,{label}")
    (here / "m.csv").write_text("\n".join(rows), encoding="utf-8")
    assert labelled_images(["m.csv"], 8, cache=here / "cache").classes == classes


def test_missing_labels_and_single_classes_are_errors(folder, here, png):
    (here / "one" / "only").mkdir(parents=True)
    (here / "one" / "only" / "1.png").write_bytes(png())
    with pytest.raises(InputError, match="all images have the label 'only': at least two classes are needed"):
        labelled_images(["one"], 8, cache=here / "cache")
    (here / "d" / "loose.png").write_bytes(png())
    with pytest.raises(InputError, match=r"d/loose.png has no label: put each class in a folder of its own"):
        labelled_images([folder], 8, cache=here / "cache")


def test_the_splits_of_a_real_image_set(data_dir, tmp_path):
    labelled = labelled_images([str(data_dir / "pneumoniamnist_28.npz")], 8, cache=tmp_path)
    assert Counter(labelled.splits) == {"train": 3882, "val": 524, "test": 624}
    assert labelled.classes == ("0", "1")
    assert labelled.origin == "as the data set or manifest says"
