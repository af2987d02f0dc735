from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs
from radiodino.train.data.image_cache import open_cache
from radiodino.train.data.open_images import open_images
from radiodino.train.data.unreadable import unreadable_sentence, write_unreadable


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(4):
            pixels = random.integers(0, 256, (30 + index, 40), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{index}.png")
    return tmp_path / "images"


def test_pixels_are_the_images_resized(folder, tmp_path):
    cache = open_cache(list_inputs([str(folder)]), tmp_path / "cache", 32)
    assert cache.pixels.shape == (8, 1, 32, 32)
    assert cache.labels == ("a",) * 4 + ("b",) * 4
    assert cache.sources == ("images",) * 8
    for name, pixels in zip(cache.names, cache.pixels, strict=True):
        image = Image.open(folder.parent / name if not name.startswith("/") else name)
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
        assert np.array_equal(pixels[0], expected)


def test_it_is_built_once(folder, tmp_path):
    told = []
    for _ in range(2):
        open_cache(list_inputs([str(folder)]), tmp_path / "cache", 32, lambda done, total: told.append((done, total)))
    assert told == [(i, 8) for i in range(1, 9)]


def test_colour_keeps_three_channels_and_broken_images_are_named(folder, tmp_path):
    Image.new("RGB", (10, 10), (255, 0, 0)).save(folder / "a" / "colour.png")
    (folder / "b" / "broken.png").write_bytes(b"text")
    cache = open_cache(list_inputs([str(folder)]), tmp_path / "cache", 16)
    assert cache.pixels.shape == (9, 3, 16, 16)
    red = cache.pixels[[name.endswith("colour.png") for name in cache.names].index(True)]
    assert (red[0] == 255).all()
    assert (red[1:] == 0).all()
    grey = cache.pixels[0]
    assert np.array_equal(grey[0], grey[1])
    assert np.array_equal(grey[0], grey[2])
    assert [name.rpartition("/")[2] for name in cache.unreadable] == ["broken.png"]
    assert (cache.listed, len(cache)) == (10, 9)
    (sentence,) = cache.notes()
    assert sentence.startswith("1 of 10 images cannot be read and are left out: ")
    assert "broken.png (it is not an image of a known format" in sentence


def test_frames_of_a_file_are_images_of_one_key(tmp_path):
    pages = [Image.new("L", (8, 8), shade) for shade in (10, 20, 30)]
    (tmp_path / "d" / "x").mkdir(parents=True)
    pages[0].save(tmp_path / "d" / "x" / "pages.tif", save_all=True, append_images=pages[1:])
    cache = open_images([str(tmp_path / "d")], 8, cache=tmp_path / "cache")
    assert [name.rpartition("/")[2] for name in cache.names] == ["pages.tif#1", "pages.tif#2", "pages.tif#3"]
    assert cache.pixels[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert cache.keys == ("d/x/pages.tif",) * 3
    assert cache.listed == 1


def test_another_list_or_size_is_another_cache(folder, tmp_path):
    first = open_cache(list_inputs([str(folder)]), tmp_path / "cache", 16)
    second = open_cache(list_inputs([str(folder / "a")]), tmp_path / "cache", 16)
    third = open_cache(list_inputs([str(folder)]), tmp_path / "cache", 24)
    assert len({first.folder, second.folder, third.folder}) == 3


def test_a_replaced_file_is_noticed(folder, tmp_path):
    shade = lambda: open_cache(list_inputs([str(folder)]), tmp_path / "cache", 16).pixels[0, 0, 0, 0]  # noqa: E731
    for size, value, changed in (((9, 9), 10, 1), ((9, 9), 20, 2), ((19, 9), 30, 2)):
        Image.new("L", size, value).save(folder / "a" / "0.png")
        os.utime(folder / "a" / "0.png", ns=(0, changed))
        assert shade() == value


def test_a_replaced_member_is_noticed_and_a_moved_archive_is_not(tmp_path, png, pack):
    archive = str(tmp_path / "set.zip")
    shade = lambda path: open_cache(list_inputs([path]), tmp_path / "cache", 8).pixels[:, 0, 0, 0].tolist()  # noqa: E731
    pack(archive, {"a/1.png": png(10), "a/2.png": png(20)})
    assert shade(archive) == [10, 20]
    pack(archive, {"a/1.png": png(11), "a/2.png": png(20)})
    os.utime(archive, ns=(0, 0))
    assert shade(archive) == [11, 20]
    (tmp_path / "other").mkdir()
    moved = shutil.move(archive, tmp_path / "other" / "renamed.zip")
    cache = open_cache(list_inputs([str(moved)]), tmp_path / "cache", 8)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert cache.names[0] == f"{moved}/a/1.png"


def test_a_replaced_image_set_is_noticed(tmp_path):
    for shade in (10, 20):
        np.savez(tmp_path / "set.npz", val_images=np.full((2, 8, 8), shade, np.uint8))
        os.utime(tmp_path / "set.npz", ns=(0, shade))
        cache = open_images([str(tmp_path / "set.npz")], 8, cache=tmp_path / "cache")
        assert (cache.pixels == shade).all()
    assert cache.splits == ("val", "val")
    assert cache.keys == ("set.npz/val_images/0", "set.npz/val_images/1")


def test_labels_and_splits_are_not_a_part_of_the_cache(folder, tmp_path):
    manifest = folder / "m.csv"
    found = []
    for label, split in (("x", "train"), ("y", "")):
        manifest.write_text(f"path,label,split\na/0.png,{label},{split}\nb/1.png,z,val\n")
        found.append(open_images([str(manifest)], 16, cache=tmp_path / "cache"))
    assert [(cache.labels, cache.splits) for cache in found] == [
        (("x", "z"), ("train", "val")), (("y", "z"), ("", "val")),
    ]  # fmt: skip
    assert found[0].folder == found[1].folder


def test_one_split_is_taken(folder, tmp_path):
    manifest = folder / "m.csv"
    manifest.write_text("path,label,split\na/0.png,x,train\nb/1.png,z,val\nb/2.png,z,train\n")
    cache = open_images([str(manifest)], 16, split="train", cache=tmp_path / "cache")
    assert cache.keys == ("a/0.png", "b/2.png")
    with pytest.raises(InputError, match="none of the 3 images is of the split test"):
        open_images([str(manifest)], 16, split="test", cache=tmp_path / "cache")


def test_a_file_that_goes_away_is_unreadable(folder, tmp_path):
    listing = list_inputs([str(folder)])
    (folder / "a" / "0.png").unlink()
    cache = open_cache(listing, tmp_path / "cache", 16)
    assert list(cache.unreadable.values()) == ["there is no such file"]


def test_no_readable_image_is_an_error_and_leaves_no_cache(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(b"text")
    with pytest.raises(InputError, match="none of the 1 images can be read"):
        open_cache(list_inputs([str(tmp_path / "images")]), tmp_path / "cache", 16)
    assert not list((tmp_path / "cache").rglob("*.u8"))


def test_unreadable_images_are_counted_named_and_written(tmp_path):
    unreadable = {f"{number}.png": f"reason {number}" for number in range(5)}
    assert unreadable_sentence({}, 780) is None
    assert unreadable_sentence(unreadable, 780) == (
        "5 of 780 images cannot be read and are left out: 0.png (reason 0), 1.png (reason 1), 2.png (reason 2) and "
        "2 more"
    )
    write_unreadable(unreadable, tmp_path / "unreadable.csv")
    assert (tmp_path / "unreadable.csv").read_text().splitlines()[:2] == ["name,reason", "0.png,reason 0"]


def test_the_home_folder_keeps_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "home"))
    assert open_images([str(folder)], 16).folder.parent == tmp_path / "home" / "images"


def test_real_images_are_decoded(data_dir, tmp_path):
    cache = open_images([str(data_dir / "busi_seg.zip")], 16, cache=tmp_path)
    assert (len(cache), cache.unreadable, set(cache.labels)) == (109, {}, {"benign", "malignant", "normal"})
    cache = open_images([str(data_dir / "pneumoniamnist_28.npz")], 28, split="val", cache=tmp_path)
    with np.load(data_dir / "pneumoniamnist_28.npz") as arrays:
        assert np.array_equal(cache.pixels[:, 0], arrays["val_images"])
        assert cache.labels == tuple(str(label) for (label,) in arrays["val_labels"])
