from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from radiodino.runtime.errors import InputError
from radiodino.train.data.listing import list_data


@pytest.fixture
def files(here, touch, pack):
    touch("d/busi/benign/1.png", "d/busi/normal/2.png", "d/3.png")
    pack("d/set.zip", {"benign/1.png": b"x", "2.png": b"y"})
    np.savez(
        here / "d" / "mnist.npz",
        train_images=np.zeros((2, 4, 4), np.uint8),
        val_images=np.zeros((1, 4, 4), np.uint8),
        test_images=np.zeros((1, 4, 4), np.uint8),
        train_labels=np.zeros((2, 1), np.uint8),
    )
    return here


def keys(*typed):
    return [image.key for image in list_data(typed)]


def test_keys_do_not_depend_on_the_machine(files, monkeypatch):
    expected = ["busi/benign/1.png", "busi/normal/2.png"]
    for typed in ("d/busi", "./d//busi/", str(files / "d" / "busi"), "d/bus?", "d/b*/*/*.png"):
        assert [key.removeprefix("d/") for key in keys(typed)] == expected, typed
    assert keys("d/set.zip") == keys(str(files / "d" / "set.zip")) == keys("d/*.zip") == keys("d/**/*.zip") == [
        "set.zip/2.png", "set.zip/benign/1.png",
    ]  # fmt: skip
    assert keys("d/mnist.npz")[0] == "mnist.npz/train_images/0"
    assert keys("d/3.png") == keys(str(files / "d" / "3.png")) == ["d/3.png"]
    monkeypatch.chdir(files / "d" / "busi")
    assert keys(".") == expected
    monkeypatch.chdir(files / "d" / "busi" / "benign")
    assert keys("..") == expected
    assert keys("1.png") == ["benign/1.png"]


def test_sources_are_what_was_typed(files):
    listing = list_data(["d/busi", "d/set.zip", "d/mnist.npz", "d/3.png"])
    assert list(dict.fromkeys(listing.sources())) == ["busi", "set.zip", "mnist.npz", "d"]
    assert set(list_data(["d/*"]).sources()) == {"busi", "set.zip", "mnist.npz", "d"}
    assert set(list_data(["d/busi/*/*.png"]).sources()) == {"busi"}
    assert set(list_data(["d/busi/*"]).sources()) == {"benign", "normal"}


def test_sources_of_one_name_stay_apart(here, touch):
    touch("a/images/x/1.png", "b/images/x/1.png")
    listing = list_data(["a/images", "b/images"])
    assert listing.sources() == ["a/images", "b/images"]
    assert [image.key for image in listing] == ["images/x/1.png"] * 2


def test_image_sets_say_their_splits(files):
    listing = list_data(["d/mnist.npz", "d/set.zip"])
    assert [image.split for image in listing] == ["train", "train", "val", "test", "", ""]


def test_an_image_reached_twice_is_listed_once(files):
    os.symlink("busi", "d/link")
    listing = list_data(["d/busi/benign", "d/busi", "d/set.zip", str(files / "d" / "set.zip"), "d/link/normal/2.png"])
    assert [image.item.name for image in listing] == [
        "d/busi/benign/1.png", "d/busi/normal/2.png", "d/set.zip/2.png", "d/set.zip/benign/1.png",
    ]  # fmt: skip
    assert "reached twice and listed once: 4 images" in listing.remarks


def test_what_is_left_out_is_said_with_its_input(files, touch):
    touch("d/busi/notes.txt")
    assert list_data(["d/busi"]).remarks == ("d/busi: skipped as no images: 1 .txt",)


def test_one_split(files):
    listing = list_data(["d/mnist.npz"])
    assert [image.key for image in listing.only("val")] == ["mnist.npz/val_images/0"]
    with pytest.raises(InputError, match="'dev' is no split: choose one of train, val, test"):
        listing.only("dev")
    with pytest.raises(InputError, match=r"2 of 6 images do not say their split \(d/set.zip/2.png, .*radiodino-train"):
        list_data(["d/mnist.npz", "d/set.zip"]).only("train")
    np.savez("train.npz", train_images=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(InputError, match="none of the 2 images is of the split test"):
        list_data(["train.npz"]).only("test")


def test_all_get_a_split(files):
    listing, origin = list_data(["d/mnist.npz", "d/busi"]).completed(fractions=(0, 0, 1))
    assert [image.split for image in listing] == ["train", "train", "val", "test", "test", "test"]
    assert origin.startswith(
        "as the data set or manifest says for 4 of 6 images, the others seeded and stratified, 0/0/1"
    )


def test_no_inputs_and_missing_ones_are_errors(here):
    with pytest.raises(InputError, match="no images were given"):
        list_data([])
    with pytest.raises(InputError, match="no readable file or folder nothing"):
        list_data(["nothing"])


def test_paths_may_be_typed_as_paths(files):
    assert len(list_data([Path("d/busi")])) == 2
