from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.errors import InputError
from radiodino.train.data.mask_pairs import mask_pairs, open_pairs


def encoded(pixels, mode=None):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels), mode).save(stream, "PNG")
    return stream.getvalue()


def spot(top, left, value=255, size=(20, 30), dtype=np.uint8):
    pixels = np.zeros(size, dtype)
    pixels[top : top + 4, left : left + 6] = value
    return pixels


IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
BUSI = {
    "benign/benign (1).png": encoded(IMAGE),
    "benign/benign (1)_mask.png": encoded(spot(0, 0)),
    "benign/benign (1)_mask_1.png": encoded(spot(10, 12)),
    "normal/normal (1).png": encoded(IMAGE),
    "normal/normal (1)_mask.png": encoded(spot(0, 0, 0)),
}


@pytest.fixture(params=["folder", "zip"])
def typed(here, pack, request):
    """Files as a folder and as a zip archive."""

    def typed(files):
        if request.param == "zip":
            pack("busi.zip", files)
            return "busi.zip"
        for name, data in files.items():
            path = here / "busi" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return "busi"

    return typed


def nearest(mask, size):
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST))


def test_several_masks_are_united_and_empty_ones_kept(typed, here):
    given = typed(BUSI)
    pairs = mask_pairs([given])
    assert [(pair.name, len(pair.masks), pair.label, pair.source, pair.key) for pair in pairs.pairs] == [
        (f"{given}/benign/benign (1).png", 2, "benign", given, f"{given}/benign/benign (1).png"),
        (f"{given}/normal/normal (1).png", 1, "normal", given, f"{given}/normal/normal (1).png"),
    ]
    assert pairs.skipped == {}
    decoded = open_pairs([given], 16, here / "cache")
    assert (decoded.pixels.shape, decoded.masks.shape) == ((2, 1, 16, 16), (2, 16, 16))
    assert decoded.pixels.dtype == decoded.masks.dtype == np.uint8
    assert decoded.names == tuple(pair.name for pair in pairs.pairs)
    assert decoded.keys == tuple(pair.key for pair in pairs.pairs)
    assert (decoded.labels, decoded.sources) == (("benign", "normal"), (given, given))
    expected = np.asarray(Image.fromarray(IMAGE).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(decoded.pixels[0, 0], expected)
    assert np.array_equal(decoded.masks[0], nearest((spot(0, 0) + spot(10, 12)) > 0, 16))
    assert not decoded.masks[1].any()
    assert len(decoded) == 2


def test_colour_images_have_three_channels(typed, here):
    colour = np.stack([IMAGE, IMAGE // 2, IMAGE // 4], 2)
    decoded = open_pairs([typed(BUSI | {"benign/benign (1).png": encoded(colour)})], 16, here / "cache")
    assert decoded.pixels.shape == (2, 3, 16, 16)
    assert np.array_equal(decoded.pixels[1, 0], decoded.pixels[1, 2])
    assert set(np.unique(decoded.masks)) == {0, 1}


@pytest.mark.parametrize(
    "mask",
    [
        spot(2, 3),
        spot(2, 3, 1),
        spot(2, 3, True, dtype=bool),
        np.stack([spot(2, 3), spot(0, 0, 0), spot(0, 0, 0)], 2),
        spot(2, 3, 65535, dtype=np.uint16),
        np.where(spot(2, 3) > 0, 250, 5).astype(np.uint8),
    ],
    ids=["black and white", "0 and 1", "1 bit", "black and red", "16 bits", "as after JPEG"],
)
def test_what_a_mask_may_be(typed, here, mask):
    decoded = open_pairs([typed(BUSI | {"normal/normal (1)_mask.png": encoded(mask)})], 16, here / "cache")
    assert np.array_equal(decoded.masks[1], nearest(spot(2, 3) > 0, 16))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("normal (1)_mask.png", encoded(spot(0, 0, size=(20, 31))),
         "its mask normal (1)_mask.png has 31 × 20 pixels, the image 30 × 20"),
        ("normal (1)_mask_1.png", encoded(spot(0, 0, size=(30, 20))),
         "its mask normal (1)_mask_1.png has 20 × 30 pixels, the image 30 × 20"),
        ("normal (1)_mask.png", b"text", "its mask normal (1)_mask.png cannot be read: it is not an image"),
        ("normal (1).png", b"text", "it cannot be read: it is not an image"),
        ("normal (1)_mask.png", encoded(spot(0, 0, 3)),
         "its mask normal (1)_mask.png holds values up to 3, expected black (0) and white (255), or 0 and 1"),
        ("normal (1)_mask.png", encoded(spot(0, 0, 1, dtype=np.uint16)),
         "its mask normal (1)_mask.png cannot be read: its 16-bit values fill less than"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_skipped_and_named(typed, here, name, data, reason):
    given = typed(BUSI | {f"normal/{name}": data})
    for found in (mask_pairs([given]), open_pairs([given], 16, here / "cache")):
        assert list(found.skipped) == [f"{given}/normal/normal (1).png"]
        assert found.skipped[f"{given}/normal/normal (1).png"].startswith(reason)
    assert found.names == (f"{given}/benign/benign (1).png",)
    assert np.array_equal(found.masks[0], nearest((spot(0, 0) + spot(10, 12)) > 0, 16))


def test_several_frames_are_no_image_of_a_pair(typed, here):
    stream = io.BytesIO()
    Image.fromarray(IMAGE).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(IMAGE)] * 3)
    given = typed(BUSI | {"normal/normal (1).png": stream.getvalue()})
    assert mask_pairs([given]).skipped == {f"{given}/normal/normal (1).png": "it holds several frames, expected one"}


def test_missing_masks_and_images_are_named(typed, here):
    files = BUSI | {"normal/normal (2).png": encoded(IMAGE), "normal/normal (3)_mask.png": encoded(spot(0, 0))}
    given = typed(files)
    for found in (mask_pairs([given]), open_pairs([given], 16, here / "cache")):
        assert found.skipped == {
            f"{given}/normal/normal (2).png": "it has no mask",
            f"{given}/normal/normal (3)_mask.png": "it is the mask of an image that is missing",
        }


def test_images_and_masks_next_to_each_other(typed, here):
    files = {
        "images/benign_001.png": encoded(IMAGE),
        "masks/benign_001.png": encoded(spot(1, 1)),
        "images/normal_002.png": encoded(IMAGE),
        "masks/normal_002.png": encoded(spot(1, 1, 0)),
    }
    decoded = open_pairs([typed(files)], 16, here / "cache")
    assert decoded.labels == ("benign", "normal")
    assert decoded.masks.any((1, 2)).tolist() == [True, False]


def test_no_masks_and_no_fitting_ones_are_errors(typed, here):
    images = {name: data for name, data in BUSI.items() if "_mask" not in name}
    with pytest.raises(
        InputError, match=r"none of the 2 images has a mask: expected NAME_mask.png beside NAME.png, or"
    ):
        open_pairs([typed(images)], 16, here / "cache")
    bad = {"a.png": encoded(IMAGE), "a_mask.png": b"text"}
    (here / "other").mkdir()
    for name, data in bad.items():
        (here / "other" / name).write_bytes(data)
    with pytest.raises(InputError, match=r"none of the 1 images has a mask that fits: its mask a_mask.png cannot be"):
        mask_pairs(["other"])
    with pytest.raises(InputError, match=r"none of the 1 images can be read: its mask a_mask.png cannot be read"):
        open_pairs(["other"], 16, here / "cache")


def test_pairs_are_decoded_once_and_changes_noticed(typed, here):
    told = []
    given = typed(BUSI)
    for _ in range(2):
        open_pairs([given], 16, here / "cache", lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    given = typed(BUSI | {"normal/normal (1)_mask.png": encoded(spot(5, 5, size=(20, 30)))})
    assert open_pairs([given], 16, here / "cache").masks[1].any()


def test_the_real_segmentation_set(data_dir, tmp_path):
    decoded = open_pairs([str(data_dir / "busi_seg.zip")], 32, tmp_path)
    assert len(decoded) == 109
    assert decoded.skipped == {}
    empty = ~decoded.masks.any((1, 2))
    assert {decoded.labels[place] for place in np.flatnonzero(empty)} == {"normal"}
    assert empty.sum() == 42
