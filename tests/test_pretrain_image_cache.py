from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs
from radiodino.train.pretrain.image_cache import open_cache


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
    assert [name.rpartition("/")[2] for name in cache.unreadable] == ["broken.png"]


def test_another_list_or_size_is_another_cache(folder, tmp_path):
    first = open_cache(list_inputs([str(folder)]), tmp_path / "cache", 16)
    second = open_cache(list_inputs([str(folder / "a")]), tmp_path / "cache", 16)
    third = open_cache(list_inputs([str(folder)]), tmp_path / "cache", 24)
    assert len({first.folder, second.folder, third.folder}) == 3


def test_no_readable_image_is_an_error_and_leaves_no_cache(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(b"text")
    with pytest.raises(InputError, match="none of the 1 images can be read"):
        open_cache(list_inputs([str(tmp_path / "images")]), tmp_path / "cache", 16)
    assert not list((tmp_path / "cache").rglob("*.npy"))
