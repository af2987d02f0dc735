"""Names of the files that a run writes for its images."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.item import Item
from radiodino.runtime.task_runs import output_names
from radiodino.runtime.task_runs.output_names import OutputNames


def named(*names: str) -> list[str]:
    items = [Item(name, "", name) for name in names]
    given_names = OutputNames(items)
    return [given_names.of(item, None) for item in items]


def test_one_image_is_called_as_itself():
    assert named("scans/2024/liver.dcm") == ["liver"]
    assert named("liver.png") == ["liver"]


def test_folders_that_differ_are_part_of_the_name():
    assert named("/d/benign/1.png", "/d/malignant/1.png") == ["benign_1", "malignant_1"]
    assert named("d/a/1.png", "d/b.png") == ["a_1", "b"]
    assert named("set.zip/x/1.png", "set.zip/2.png", "set.npz/train_images/0") == [
        "set.zip_x_1",
        "set.zip_2",
        "set.npz_train_images_0",
    ]


def test_names_that_would_be_alike_differ():
    found = named("a/1.png", "a/1.jpg", "a/1.PNG", "a/b_1.png", "a/b/1.png", "a/2.png")
    assert len({name.casefold() for name in found}) == 6
    assert found[5] == "2"
    assert all(re.fullmatch(r"(b_)?1-[0-9a-f]{12}", name) for name in found[:5])


def test_frames_are_counted():
    item = Item("a#2.dcm", "", "a#2.dcm")
    names = OutputNames([item])
    assert names.of(item, 3) == "a_2#3"


def test_what_is_no_suffix_of_an_image_stays():
    assert named("1.2.840.113619.2") == ["1.2.840.113619.2"]
    assert named("IM0001") == ["IM0001"]


@pytest.mark.parametrize(
    "name", ["con.png", "LPT1.dcm", "..", ".", "a\\b.png", "x/\x00.png", "-.png", "   .png", "ä/.."]
)
def test_difficult_names_are_safe(name):
    (found,) = named(name)
    assert re.fullmatch(r"[\w\-.+=]+", found)
    assert found.split(".")[0].lower() not in {"con", "lpt1", ""}


NAME = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=120) | st.sampled_from(
    ["a", "A", "a.png", "ä", "a\u0308", "con", "a b", "a_b"]
)


@given(names=st.lists(st.lists(NAME, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12, unique=True))
def test_names_are_unique_safe_and_the_same_each_time(names):
    found = named(*names)
    assert found == named(*names)
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert not set(name) & set('/\\:*?"<>|#\0\n ')
        assert 0 < len(name.encode()) < 160
        assert name[0] not in ".~ "
        assert not name.endswith((".", " "))


def test_names_that_cannot_be_told_apart_are_refused(monkeypatch):
    class Sha:
        def __init__(self, _):
            pass

        def hexdigest(self):
            return "0" * 64

    monkeypatch.setattr(output_names.hashlib, "sha256", Sha)
    with pytest.raises(InputError, match=r"2 inputs would .*rename one"):
        named("a/1.png", "a/1.jpg")
