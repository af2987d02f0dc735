from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from radiodino.benchmarks.gather_images import gather_images  # noqa: E402
from radiodino.benchmarks.official_style_data import CropsOfFiles, official_style_batches  # noqa: E402
from radiodino.train.ssl.classic_crops import classic_crops  # noqa: E402
from radiodino.train.ssl.crop_settings import CropSettings  # noqa: E402

SETTINGS = CropSettings(global_size=32, local_size=16, local_count=3)


def jpeg(shade):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(shade).integers(0, 256, (40, 30), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "gathered"
    place.mkdir()
    return place


@pytest.fixture
def files(tmp_path) -> list[Path]:
    found = [tmp_path / f"{number}.jpg" for number in range(5)]
    for number, file in enumerate(found):
        file.write_bytes(jpeg(number))
    return found


def test_gathers_files_members_and_arrays_as_files(here, folder, pack):
    Path("loose").mkdir()
    for number in range(4):
        Path("loose", f"{number}.JPG").write_bytes(jpeg(number))
    pack("set.zip", {f"a/{number}.jpg": jpeg(10 + number) for number in range(2)})
    array = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    np.savez("set.npz", train_images=array, train_labels=np.zeros((3, 1), np.uint8))

    found = gather_images(["loose", "set.zip", "set.npz"], 100, folder)
    assert [file.suffix for file in found] == [".jpg"] * 6 + [".png"] * 3
    assert found == sorted(folder.iterdir())
    assert [file.read_bytes() for file in found[:6]] == [jpeg(number) for number in (0, 1, 2, 3, 10, 11)]
    assert all(np.array_equal(np.asarray(Image.open(file)), one) for file, one in zip(found[6:], array, strict=True))


def test_gathers_as_many_as_asked_for_evenly(files, folder):
    found = gather_images([str(file) for file in files], 2, folder)
    assert [file.read_bytes() for file in found] == [files[0].read_bytes(), files[2].read_bytes()]


def test_refuses_none_and_what_pillow_cannot_open(files, folder):
    with pytest.raises(InputError, match="at least 1 image is needed, not 0"):
        gather_images([str(files[0])], 0, folder)
    files[1].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1\.jpg is no image that Pillow opens, .*: leave it out"):
        gather_images([str(file) for file in files], 5, folder)


def test_crops_are_those_of_the_classic_path_on_the_decoded_colour_image(files):
    dataset = CropsOfFiles(files, SETTINGS)
    assert len(dataset) == 5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        found = dataset[2]
    generator = torch.Generator().manual_seed(3)
    expected = classic_crops(Image.open(files[2]).convert("RGB"), SETTINGS, generator)
    assert [tuple(crop.shape) for crop in found] == [(3, 32, 32)] * 2 + [(3, 16, 16)] * 3
    assert all(torch.equal(crop, other) for crop, other in zip(found, expected, strict=True))


def test_batches_come_without_end_and_differ(files):
    batches = official_style_batches(files, SETTINGS, 2, 0, torch.device("cpu"))
    taken = [next(batches) for _ in range(6)]  # 12 images of 5
    assert [tuple(crop.shape) for crop in taken[-1]] == [(2, 3, 32, 32)] * 2 + [(2, 3, 16, 16)] * 3
    assert not torch.equal(taken[0][0], taken[1][0])


def test_workers_make_batches_and_each_draws_its_own(files):
    batches = official_style_batches(files[:1], SETTINGS, 2, 2, torch.device("cpu"))
    first, second = next(batches), next(batches)  # of one worker each, of the same image
    assert [tuple(crop.shape) for crop in first] == [(2, 3, 32, 32)] * 2 + [(2, 3, 16, 16)] * 3
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0][0], first[0][1])
