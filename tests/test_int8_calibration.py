"""The choice of images to calibrate an int8 file on: seeded, fair to each label, and refused or warned of by name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")

from radiodino.export.int8.calibration_set import read_calibration
from radiodino.runtime.errors import InputError
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

SIZE = 32
PREPROCESS = Preprocessor(Preprocessing(resize=(SIZE, SIZE)))


def grey(seed, size=(40, 50)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8))


def colour(seed):
    hue = np.array([200, 40, 40]) + np.random.default_rng(seed).integers(-40, 40, (40, 50, 3))
    return Image.fromarray(hue.astype(np.uint8))


@pytest.fixture
def folder(here):
    """Writes images: `folder("benign", 12)`; numbers from `first` on make them different."""

    def write(name, count, first=0, make=grey):
        (here / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            make(number).save(here / name / f"{number:03}.png")
        return str(here)

    return write


def read(*inputs, count=16, **settings):
    return read_calibration([str(one) for one in inputs], PREPROCESS, count=count, **settings)


def shown(images):
    return [np.asarray(image).tobytes() for image in images.images]


# The choice


def test_images_to_judge_by_are_others(folder):
    found = read(folder("data", 40), count=16)
    assert (len(found.calibration), len(found.held_out)) == (16, 16)
    assert not set(shown(found.calibration)) & set(shown(found.held_out))
    assert (found.info.count, found.info.held_out, found.info.seed) == (16, 16, 0)


def test_where_there_are_few_one_half_calibrates(folder):
    found = read(folder("data", 21), count=16)
    assert (len(found.calibration), len(found.held_out)) == (11, 10)


def test_the_choice_is_seeded_and_does_not_depend_on_place_or_order(folder, here, tmp_path):
    folder("a/data/x", 20)
    folder("a/data/y", 20, first=20)
    first = read(here / "a" / "data")
    assert shown(read(here / "a" / "data").calibration) == shown(first.calibration)
    shutil.copytree(here / "a" / "data", here / "elsewhere" / "data")
    moved = read(here / "elsewhere" / "data")
    assert moved.info == first.info
    both = read(here / "a" / "data" / "x", here / "a" / "data" / "y")
    turned = read(here / "a" / "data" / "y", here / "a" / "data" / "x")
    assert shown(both.calibration) == shown(turned.calibration)
    assert read(here / "a" / "data", seed=1).info.sha256 != first.info.sha256


def test_a_rare_label_counts_as_much_as_a_common_one(folder, here):
    folder("set/common", 60)
    folder("set/rare", 8, first=60)
    found = read(here / "set", count=8)
    assert sorted(found.calibration.labels) == ["common"] * 4 + ["rare"] * 4
    assert sorted(found.held_out.labels) == ["common"] * 4 + ["rare"] * 4
    assert sorted(found.calibration.first(4).labels) == ["common"] * 2 + ["rare"] * 2


def test_the_digest_is_of_the_pixels_to_calibrate_on(folder, here):
    first = read(folder("data", 40))
    again = read(folder("data", 40))
    assert first.info.sha256 == again.info.sha256
    assert len(first.info.sha256) == 64
    for number in range(40):
        grey(number + 1000).save(here / "data" / f"{number:03}.png")
    assert read(here).info.sha256 != first.info.sha256


def test_batches_are_what_the_network_takes(folder):
    found = read(folder("data", 24), count=10).calibration
    batches = list(found.batches(4))
    assert [batch.shape for batch in batches] == [(4, 3, SIZE, SIZE), (4, 3, SIZE, SIZE), (2, 3, SIZE, SIZE)]
    assert batches[0].dtype == np.float32
    assert np.array_equal(batches[0][1], PREPROCESS(found.images[1]))
    assert np.array_equal(found.batches(4)[1], batches[1])
    assert len(found.batches(4)[0:2]) == 2


def test_images_are_resized_as_the_network_wants_them(folder):
    """Once: what is kept is resized already, and stays as it is."""
    found = read(folder("data", 16), count=8).calibration
    wanted = {PREPROCESS(grey(number)).tobytes() for number in range(16)}
    assert {batch.tobytes() for batch in found.batches(1)} <= wanted


def test_archives_and_image_sets_are_read(folder, here, pack):
    folder("set/a", 10)
    folder("set/b", 10, first=10)
    pack("set.zip", {f"{p.parent.name}/{p.name}": p.read_bytes() for p in sorted((here / "set").rglob("*.png"))})
    images = np.stack([np.asarray(grey(number)) for number in range(100, 120)])
    np.savez("more.npz", train_images=images, train_labels=np.arange(20) % 2)
    found = read("set.zip", "more.npz", count=20)
    assert found.info.sources == ("more.npz", "set.zip")
    assert (len(found.calibration), len(found.held_out)) == (20, 20)
    assert set(found.calibration.labels) == {"a", "b", "0", "1"}


def test_the_frames_of_one_file_are_images(here):
    frames = [grey(number) for number in range(30)]
    frames[0].save(here / "cine.tiff", save_all=True, append_images=frames[1:])
    found = read(here / "cine.tiff", count=8)
    assert (len(found.calibration), len(found.held_out)) == (8, 8)
    assert read(here / "cine.tiff", count=100).info.count == 15


def test_progress_is_told(folder):
    told = []
    read(folder("data", 40), count=10, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)
    assert len(told) == 20


# Refused by name


def test_an_empty_folder_is_refused(here):
    (here / "nothing").mkdir()
    with pytest.raises(InputError, match=r"there are no images in the folder .*nothing"):
        read(here / "nothing")


def test_what_is_no_image_is_refused(here):
    (here / "data").mkdir()
    for number in range(12):
        (here / "data" / f"{number}.dcm").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"12 of 12 images cannot be read.*at least 8 different.*--calibration"):
        read(here / "data")


def test_one_image_is_refused(folder):
    with pytest.raises(InputError, match=r"at least 8 different radiology images.*and found 1 "):
        read(folder("data", 1))


def test_too_few_are_refused_with_what_was_left_out(folder, here):
    folder("data", 5)
    folder("data", 3, first=5, make=lambda _: Image.new("L", (40, 50), 0))
    grey(0).save(here / "data" / "copy.png")
    (here / "data" / "damaged.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"found 5 \(1 cannot be read, 3 are blank, 1 are copies\)"):
        read(here)


@pytest.mark.parametrize("noise", [0, 3])
def test_black_images_are_refused(folder, noise):
    """As PNG, and as JPEG leaves them."""

    def black(number):
        return Image.fromarray(np.random.default_rng(number).integers(0, noise + 1, (40, 50), np.uint8))

    with pytest.raises(InputError, match="all 20 calibration images that can be read are blank"):
        read(folder("data", 20, make=black))


def test_one_image_many_times_is_refused(folder):
    with pytest.raises(InputError, match="all 20 calibration images are one and the same"):
        read(folder("data", 20, make=lambda _: grey(7)))


# Warned of by name


def notes(*inputs, **settings):
    return " | ".join(read(*inputs, **settings).info.notes)


def test_nothing_is_said_of_good_images(folder):
    assert notes(folder("data", 100), count=50) == ""


def test_few_images_are_said(folder):
    assert "few images: 10 to calibrate on" in notes(folder("data", 20), count=100)


def test_colour_is_said_as_another_modality(folder, here):
    folder("data", 80)
    folder("photographs", 20, make=colour)
    assert "in colour: 20 of 100 images, where radiology is grey" in notes(here, count=50)


def test_a_few_images_in_colour_are_no_other_modality(folder, here):
    folder("data", 95)
    folder("doppler", 5, make=colour)
    assert notes(here, count=50) == ""


def test_grey_saved_as_rgb_is_grey(folder):
    assert "in colour" not in notes(folder("data", 20, make=lambda number: grey(number).convert("RGB")))


def test_what_was_left_out_is_said_without_names_in_the_file(folder, here):
    folder("SMITH_JOHN", 20)
    folder("SMITH_JOHN", 2, first=20, make=lambda _: Image.new("L", (40, 50), 9))
    grey(0).save(here / "SMITH_JOHN" / "copy.png")
    (here / "SMITH_JOHN" / "damaged.png").write_bytes(b"\x89PNG")
    found = read(here, count=100)
    said = " | ".join(found.info.notes)
    assert "blank: 2 images" in said
    assert "copies: 1 images" in said
    assert "unreadable: 1 of 24 images" in said
    assert "SMITH" not in said
    assert any("damaged.png" in remark for remark in found.remarks)  # printed, and not kept


def test_mixed_modalities_of_dicom_are_said(here):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    (here / "scans").mkdir()
    for kind in ("CT", "MR"):
        source = pydicom.dcmread(get_testdata_file(f"{kind}_small.dcm", download=False))
        for number in range(6):
            source.pixel_array  # noqa: B018 - decoded, so that it can be changed
            pixels = np.random.default_rng(number).integers(0, 1000, source.pixel_array.shape)
            source.PixelData = pixels.astype(source.pixel_array.dtype).tobytes()
            source.save_as(here / "scans" / f"{kind}{number}.dcm")
    assert "DICOM modalities mixed: 6 CT, 6 MR" in notes(here / "scans")
    for path in (here / "scans").glob("MR*"):
        path.unlink()
    grey(1).save(here / "scans" / "x.png")
    grey(2).save(here / "scans" / "y.png")
    assert "modalities" not in notes(here / "scans")
