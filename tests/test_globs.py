from __future__ import annotations

import os

import numpy as np
import pytest

from radiodino.runtime.inputs.listing import list_inputs

pytestmark = pytest.mark.usefixtures("here")  # inputs are typed relative to a folder of their own


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("d/*.png", ["d/1.png"]),
        ("d/*/*.png", ["d/a/2.png", "d/b/3.png"]),
        ("d/**/*.png", ["d/1.png", "d/a/2.png", "d/a/deep/4.png", "d/b/3.png"]),
        ("d/**", ["d/1.png", "d/a/2.png", "d/a/deep/4.png", "d/b/3.dcm", "d/b/3.png"]),
        ("**/3.*", ["d/b/3.dcm", "d/b/3.png"]),
        ("**/a/**/*.png", ["d/a/2.png", "d/a/deep/4.png"]),
        ("d/[ab]/?.png", ["d/a/2.png", "d/b/3.png"]),
        ("d/**/**/2.png", ["d/a/2.png"]),
        ("d/.h*", ["d/.hidden.png"]),
        ("./d//*.png", ["d/1.png"]),
    ],
)
def test_globs(pattern, expected, touch, names, labels):
    touch("d/1.png", "d/a/2.png", "d/a/deep/4.png", "d/b/3.png", "d/b/3.dcm", "d/b/notes.txt", "d/.hidden.png")
    touch("d/.dir/5.png", "d/x.partial/rows.f32")
    assert names(pattern) == expected
    assert set(labels(pattern).values()) == {""}


def test_a_folder_that_a_glob_matches_counts_as_typed(touch, labels):
    touch("d/train/benign/1.png", "d/train/2.png", "d/test/malignant/3.png", "d/4.png")
    expected = {
        "d/4.png": "",
        "d/test/malignant/3.png": "malignant",
        "d/train/2.png": "",
        "d/train/benign/1.png": "benign",
    }
    assert labels("d/*") == expected
    assert labels("d/t*", "d/4.png") == labels("d/test", "d/train", "d/4.png")


def test_an_absolute_glob(touch, names):
    touch("d/1.png", "d/2.png")
    root = os.getcwd()
    assert names(f"{root}/d/*.png") == [f"{root}/d/1.png", f"{root}/d/2.png"]


def test_a_glob_counts_what_it_skips(touch):
    touch("d/1.png", "d/a.txt", "d/b.txt", "d/c.tar.gz")
    listing = list_inputs(["d/*"])
    assert listing.skipped == {".txt": 2}
    assert listing.archives == ("d/c.tar.gz",)


def test_archives_that_match_a_glob_are_opened(names, pack):
    os.makedirs("d")
    pack("d/a.zip", {"1.png": b"x"})
    np.savez("d/b.npz", images=np.zeros((1, 4, 4), np.uint8))
    assert names("d/*") == ["d/a.zip/1.png", "d/b.npz/images/0"]


def test_a_glob_follows_links_that_lead_back_once(touch):
    touch("d/a/1.png")
    os.symlink("..", "d/a/back")
    listing = list_inputs(["d/**/*.png"])
    assert [item.name for item in listing] == ["d/a/1.png"]
    assert listing.twice == 1
