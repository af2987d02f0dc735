from __future__ import annotations

import os
from collections import Counter

import pytest

from radiodino.train.data.layouts import arrange
from radiodino.train.data.listing import list_data

BUSI = [
    "benign/benign (1).png",
    "benign/benign (1)_mask.png",
    "benign/benign (1)_mask_1.png",
    "benign/benign (10).png",
    "benign/benign (10)_mask.png",
    "normal/normal (1).png",
    "normal/normal (1)_mask.png",
]
SEGMENTATION = [
    "images/benign_001.jpg", "images/malignant (12).jpg", "images/a_b_3.jpg", "images/scout.jpg",
    "masks/benign_001.png", "masks/malignant (12).png", "masks/a_b_3_mask.png", "masks/scout_mask_2.png",
]  # fmt: skip
RADIMAGENET = ["CT/abd/normal/1.png", "CT/lung/nodule/2.png", "MR/knee/acl/3.png", "US/thyroid/normal/4.png"]


def firsts(paths):
    return [path.partition("/")[0] if "/" in path else "" for path in paths]


def labels_of(paths):
    found = arrange(paths, firsts(paths))
    labels = dict(enumerate(firsts(paths))) | found.labels
    return {path: labels[place] for place, path in enumerate(paths) if place not in found.left_out}


def masks_of(paths):
    found = arrange(paths, firsts(paths))
    return {paths[image]: [paths[mask] for mask in masks] for image, masks in found.masks.items()}


@pytest.fixture
def typed(here, touch, pack):
    """The same paths as a folder and as a zip archive."""

    def typed(paths, kind):
        if kind == "folder":
            touch(*(f"set/{path}" for path in paths))
            return "set"
        pack("set.zip", dict.fromkeys(paths, b"x"))
        return "set.zip"

    return typed


def test_masks_of_busi_are_no_images():
    assert labels_of(BUSI) == {
        "benign/benign (1).png": "benign",
        "benign/benign (10).png": "benign",
        "normal/normal (1).png": "normal",
    }
    assert masks_of(BUSI) == {
        "benign/benign (1).png": ["benign/benign (1)_mask.png", "benign/benign (1)_mask_1.png"],
        "benign/benign (10).png": ["benign/benign (10)_mask.png"],
        "normal/normal (1).png": ["normal/normal (1)_mask.png"],
    }
    assert arrange(BUSI, firsts(BUSI)).notes == ["4 masks are no images and are left out of them"]


def test_the_folder_of_busi_is_looked_through():
    wrapped = [f"Dataset_BUSI_with_GT/{path}" for path in BUSI]
    assert set(labels_of(wrapped).values()) == {"benign", "normal"}
    # but not where other images lie beside it: then it may be a class
    assert set(labels_of([*wrapped, "other/1.png"]).values()) == {"Dataset_BUSI_with_GT", "other"}


def test_a_mask_without_its_image_is_one_where_others_have_theirs():
    paths = [*BUSI, "benign/benign (7)_mask.png"]
    found = arrange(paths, firsts(paths))
    assert [paths[mask] for mask in found.unpaired] == ["benign/benign (7)_mask.png"]
    assert "benign/benign (7)_mask.png" not in labels_of(paths)


def test_names_with_mask_are_images_where_none_lies_beside_its_image():
    paths = ["with_mask/1_mask.png", "without/2.png", "with_mask/masked.png"]
    assert labels_of(paths) == dict(zip(paths, ("with_mask", "without", "with_mask"), strict=True))
    assert arrange(paths, firsts(paths)).notes == []


def test_masks_next_to_images_are_left_out_and_names_give_labels():
    assert labels_of(SEGMENTATION) == {
        "images/benign_001.jpg": "benign",
        "images/malignant (12).jpg": "malignant",
        "images/a_b_3.jpg": "a_b",
        "images/scout.jpg": "",
    }
    assert masks_of(SEGMENTATION)["images/a_b_3.jpg"] == ["masks/a_b_3_mask.png"]
    assert masks_of(SEGMENTATION)["images/scout.jpg"] == ["masks/scout_mask_2.png"]


def test_folders_in_images_are_the_labels():
    paths = ["Images/benign/1.png", "Images/normal/2.png", "Masks/benign/1.png", "Masks/normal/3.png"]
    assert labels_of(paths) == {"Images/benign/1.png": "benign", "Images/normal/2.png": "normal"}
    assert [paths[mask] for mask in arrange(paths, firsts(paths)).unpaired] == ["Masks/normal/3.png"]


def test_images_and_masks_below_a_class_keep_its_label():
    paths = ["benign/images/1.png", "benign/masks/1.png", "normal/images/2.png"]
    assert labels_of(paths) == {"benign/images/1.png": "benign", "normal/images/2.png": "normal"}


def test_folders_called_masks_hold_images_where_none_has_its_image():
    paths = ["masks/1.png", "images/2.png", "other/masks/3.png"]
    assert labels_of(paths) == {"masks/1.png": "masks", "images/2.png": "images", "other/masks/3.png": "other"}


def test_labels_of_radimagenet_are_modality_anatomy_and_class():
    expected = ["CT-abd-normal", "CT-lung-nodule", "MR-knee-acl", "US-thyroid-normal"]
    assert list(labels_of(RADIMAGENET).values()) == expected
    assert list(labels_of([f"radiology_ai/{path}" for path in RADIMAGENET]).values()) == expected
    assert arrange(RADIMAGENET, firsts(RADIMAGENET)).notes == [
        "RadImageNet's layout: labels are modality-anatomy-class"
    ]


def test_an_image_higher_up_in_radimagenet_has_no_label():
    assert labels_of([*RADIMAGENET, "CT/stray.png"])["CT/stray.png"] == ""


@pytest.mark.parametrize(
    "paths",
    [
        [*RADIMAGENET, "XR/chest/normal/1.png"],
        ["CT/1.png", "MR/2.png"],
        ["CT/patient/series/1.dcm", "MR/patient/series/1.dcm"],
        [f"other/{path}" for path in RADIMAGENET],
    ],
)
def test_other_folders_of_modalities_are_plain(paths):
    assert list(labels_of(paths).values()) == firsts(paths)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_layouts_hold_in_folders_and_archives(typed, kind):
    given = typed(BUSI, kind)
    listing = list_data([given])
    assert [(image.item.name, image.label) for image in listing] == [
        (f"{given}/benign/benign (1).png", "benign"),
        (f"{given}/benign/benign (10).png", "benign"),
        (f"{given}/normal/normal (1).png", "normal"),
    ]
    assert len(listing.masks[f"{given}/benign/benign (1).png"]) == 2
    assert listing.remarks == (f"{given}: 4 masks are no images and are left out of them",)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_radimagenet_in_folders_and_archives(typed, kind):
    assert list_data([typed(RADIMAGENET, kind)])[0].label == "CT-abd-normal"


def test_masks_among_typed_files_and_matches_are_left_out(here, touch):
    touch(*BUSI)
    images = ["benign/benign (1).png", "benign/benign (10).png", "normal/normal (1).png"]
    for given in (sorted(BUSI), ["*/*.png"]):
        found = list_data(given)
        assert [image.item.name for image in found] == images
        assert {image.label for image in found} == {""}


def test_a_folder_is_listed_once(here, touch, monkeypatch):
    touch(*(f"radiology_ai/{path}" for path in RADIMAGENET))
    listed = Counter()
    scandir = os.scandir

    def counting(path):
        listed[path] += 1
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    assert len(list_data(["radiology_ai"])) == 4
    assert set(listed.values()) == {1}
    assert len(listed) == 1 + 3 + 4 + 4


def test_the_real_segmentation_set(data_dir):
    listing = list_data([str(data_dir / "busi_seg.zip")])
    assert Counter(image.label for image in listing) == {"benign": 30, "malignant": 37, "normal": 42}
    assert len(listing.masks) == 109
    assert listing.unpaired == ()
