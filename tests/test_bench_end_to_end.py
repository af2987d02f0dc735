from __future__ import annotations

import io
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from radiodino.benchmarks import end_to_end_runtime
from radiodino.benchmarks.mixed_images import KINDS, sources, windowed_dicom, write_mixed_images
from radiodino.benchmarks.model_card import open_image
from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError


def jpeg(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(shade).integers(0, 256, (30, 40), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def data(tmp_path):
    for name, count in (("a", 3), ("b", 1)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for number in range(count):
                archive.writestr(f"images/{number}.jpg", jpeg(10 * len(name) + number))
            archive.writestr("images/notes.txt", "no image")
    return tmp_path


def test_a_mixture_has_its_kinds_in_their_shares_and_all_can_be_read(tmp_path, data):
    folder = tmp_path / "mixed"
    folder.mkdir()
    assert sum(kind.share for kind in KINDS) == 20
    assert write_mixed_images(folder, 20, data) == "real images (a.zip, b.zip)"
    paths = sorted(folder.iterdir())
    expected = Counter(kind.suffix for kind in KINDS for _ in range(kind.share))
    assert Counter(path.suffix for path in paths) == expected
    frames = [list(decode(path)) for path in paths]
    assert all(len(found) == 1 and found[0].notice is None for found in frames)
    sizes = Counter(found[0].image.size for found in frames)
    assert sizes == {(40, 30): 9, (1024, 1024): 2, (640, 640): 3, (512, 512): 6}


def test_sources_go_through_the_archives_in_turn_and_begin_again(data):
    found = list(sources(6, data))
    with zipfile.ZipFile(data / "a.zip") as first, zipfile.ZipFile(data / "b.zip") as second:
        only = second.read("images/0.jpg")
        assert found == [content for number in range(3) for content in (first.read(f"images/{number}.jpg"), only)]


def test_without_data_they_are_synthetic(tmp_path):
    assert write_mixed_images(tmp_path, 2, None) == "synthetic images"
    assert {path.suffix for path in tmp_path.iterdir()} == {".jpg"}
    assert list(sources(3, None)) == list(sources(3, None))


def test_a_folder_without_archives_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no zip archive of images"):
        list(sources(1, tmp_path))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(InputError, match="no JPEG image"):
        list(sources(1, tmp_path))


def test_the_runtime_answers_every_job(tmp_path, toy_fp32, data):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    job = {"model": str(toy_fp32), "threads": 1, "repeats": 2, "image": str(folder / "0.jpg"), "folder": str(folder)}
    one = end_to_end_runtime.one(job)
    assert len(one["embedding"]) == 48
    assert 0 < one["parts"]["inference"] < one["seconds"] * 5
    run = end_to_end_runtime.folder(job)
    assert (run["rows"], run["unreadable"]) == (10, 0)
    assert 0 < run["inference_share"] <= 1
    assert set(end_to_end_runtime.parts(job)["parts"]) == {
        "decode",
        "resize, normalise",
        "inference",
        "write the table",
    }


def test_the_snippet_shows_dicom_as_its_window_says(tmp_path):
    path = tmp_path / "image.dcm"
    gradient = np.add.outer(np.arange(512), np.arange(512)) / 1022 * 255
    path.write_bytes(windowed_dicom(Image.fromarray(gradient.astype(np.uint8))))
    (frame,) = decode(path)
    shown = open_image(path)
    assert shown.mode == "RGB"
    difference = np.asarray(shown.convert("L")).astype(int) - np.asarray(frame.image)
    assert np.abs(difference).max() <= 1
