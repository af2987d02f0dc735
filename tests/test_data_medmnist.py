from __future__ import annotations

import hashlib
import runpy
import sys
import types
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from radiodino.runtime.errors import InputError
from radiodino.train.data import medmnist_sets
from radiodino.train.data.listing import list_data
from radiodino.train.data.medmnist_sets import TABLE_1, medmnist_root
from radiodino.train.data.open_images import open_images

COUNTS = TABLE_1["breastmnist"]


def save(path, counts=COUNTS):
    arrays = {}
    for name, count in zip(("train", "val", "test"), counts, strict=True):
        arrays[f"{name}_images"] = np.full((count, 4, 4), len(name), np.uint8)
        arrays[f"{name}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    np.savez(path, **arrays)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RADIODINO_MEDMNIST", str(tmp_path))
    return tmp_path


def test_the_root_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RADIODINO_MEDMNIST", str(tmp_path))
    assert medmnist_root() == tmp_path
    monkeypatch.delenv("RADIODINO_MEDMNIST")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert medmnist_root() == tmp_path / ".medmnist"


@pytest.mark.parametrize(
    ("typed", "file"),
    [("medmnist:breastmnist", "breastmnist.npz"), ("medmnist:breastmnist:28", "breastmnist.npz"),
     ("medmnist:breastmnist:224", "breastmnist_224.npz")],
)  # fmt: skip
def test_a_set_with_its_own_split(root, typed, file):
    save(root / file)
    listing = list_data([typed])
    assert Counter(image.split for image in listing) == dict(zip(("train", "val", "test"), COUNTS, strict=True))
    assert listing[0].key == f"{file}/train_images/0"
    assert set(listing.sources()) == {file}
    cache = open_images([typed], 4, split="val", cache=root / "cache")
    assert cache.pixels.shape == (78, 1, 4, 4)
    assert set(cache.labels) == {"0", "1"}


def test_other_numbers_than_in_the_paper_are_an_error(root):
    save(root / "breastmnist.npz", (546, 78, 155))
    with pytest.raises(
        InputError, match=r"holds 546/78/155 .* images, expected 546/78/156 of breastmnist \(paper, tab"
    ):
        list_data(["medmnist:breastmnist"])
    # a file that is named by its path may be a part of the set
    assert len(list_data([str(root / "breastmnist.npz")])) == 779


def test_sets_that_are_not_in_the_paper_are_not_counted(root):
    save(root / "retinamnist.npz", (3, 2, 1))
    assert len(list_data(["medmnist:retinamnist"])) == 6


@pytest.mark.parametrize("typed", ["medmnist:", "medmnist:breastmnist:32", "medmnist:BreastMNIST", "medmnist:a:28:1"])
def test_what_names_no_set(root, typed):
    with pytest.raises(InputError, match="names no MedMNIST set: expected medmnist:NAME or medmnist:NAME:SIZE with a"):
        list_data([typed])


def test_without_file_and_package_the_cure_is_named(root, monkeypatch):
    monkeypatch.setattr(medmnist_sets, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"there is no file .*breastmnist_64.npz, and the medmnist package") as caught:
        list_data(["medmnist:breastmnist:64"])
    assert f"place the file breastmnist_64.npz in {root}, or name the folder that holds it by RADIODINO_MEDM" in str(
        caught.value
    )
    assert "medmnist]" in str(caught.value)


@pytest.fixture
def package(monkeypatch, tmp_path_factory):
    """A stand-in for the table of addresses in the medmnist package, which takes seconds to import."""
    table = {"breastmnist": {}}
    info = types.ModuleType("medmnist.info")
    info.INFO = table
    monkeypatch.setitem(sys.modules, "medmnist", types.ModuleType("medmnist"))
    monkeypatch.setitem(sys.modules, "medmnist.info", info)
    monkeypatch.setattr(medmnist_sets, "find_spec", lambda name: object())
    file = tmp_path_factory.mktemp("served") / "x.npz"
    save(file)
    table["breastmnist"] |= {"url_64": file.as_uri(), "MD5_64": hashlib.md5(file.read_bytes()).hexdigest()}
    return table["breastmnist"]


def test_a_file_is_fetched_and_checked(root, package):
    told = []
    assert len(list_data(["medmnist:breastmnist:64"], lambda done, total: told.append((done, total)))) == 780
    assert told
    package["url_64"] = "file:///nothing"
    assert len(list_data(["medmnist:breastmnist:64"])) == 780  # it is there now


def test_the_root_folder_is_made(root, package, monkeypatch):
    monkeypatch.setenv("RADIODINO_MEDMNIST", str(root / "a" / "b"))
    assert len(list_data(["medmnist:breastmnist:64"])) == 780


def test_a_file_that_is_not_the_stated_one_is_not_kept(root, package):
    package["MD5_64"] = "0" * 32
    with pytest.raises(InputError, match=r"gave a file with the MD5 .*, expected 0000.*: try again, or place the file"):
        list_data(["medmnist:breastmnist:64"])
    assert not list(root.iterdir())


def test_what_cannot_be_fetched_is_one_sentence(root, package):
    package["url_64"] = "file:///nothing/x.npz"
    with pytest.raises(
        InputError, match=r"cannot fetch breastmnist_64.npz from file:///nothing/x.npz .*: place the file"
    ):
        list_data(["medmnist:breastmnist:64"])
    assert not list(root.iterdir())
    with pytest.raises(InputError, match="breastmnist is not published at 128 pixels: choose another size"):
        list_data(["medmnist:breastmnist:128"])
    with pytest.raises(InputError, match="there is no MedMNIST set 'brestmnist': choose one of breastmnist"):
        list_data(["medmnist:brestmnist"])


def test_the_table_is_that_of_the_package(monkeypatch, tmp_path):
    spec = find_spec("medmnist")
    if spec is None:
        pytest.skip("medmnist is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))  # where it makes a folder
    info = runpy.run_path(str(Path(spec.origin).with_name("info.py")))["INFO"]  # all of it takes seconds to import
    for name, counts in TABLE_1.items():
        assert tuple(info[name]["n_samples"][split] for split in ("train", "val", "test")) == counts
    assert {"url", "MD5", "url_224", "MD5_224"} <= info["pneumoniamnist"].keys()
