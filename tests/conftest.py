"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.variants import Variant

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    """No test reads or fills the user's cache folder."""
    before = os.environ.get("RADIODINO_HOME")
    os.environ["RADIODINO_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["RADIODINO_HOME"]
    else:
        os.environ["RADIODINO_HOME"] = before


@pytest.fixture(scope="session")
def toy() -> Variant:
    """A member of no family, small enough that exporting it takes seconds."""
    return Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)


@pytest.fixture(scope="session")
def toy_fp16() -> Path:
    """An exported file of the toy (random weights, 64 px), kept in the repository so that the runtime is tested
    without PyTorch and stays able to read what earlier versions wrote. Made by tests/data/make_toy.py."""
    return Path(__file__).parent / "data" / "toy-fp16.onnx"


@pytest.fixture(scope="session")
def toy_fp32() -> Path:
    return Path(__file__).parent / "data" / "toy-fp32.onnx"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real images; see the README's section on development."""
    folder = Path(os.environ.get("RADIODINO_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "busi_256.zip").is_file():
        pytest.skip("no real images: set RADIODINO_DATA to the folder that holds busi_256.zip")
    return folder


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Five images of different modes and sizes."""
    random = np.random.default_rng(7)
    grey = [Image.fromarray(random.integers(0, 256, (h, w), np.uint8)) for h, w in ((64, 64), (100, 37), (300, 200))]
    colour = [Image.fromarray(random.integers(0, 256, (h, w, 3), np.uint8)) for h, w in ((64, 64), (51, 90))]
    return [*grey, *colour]


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., Ended]:
    """Runs the entry point of a command in this process: `command(main, "--variant", "tiny")`."""

    def run(main: Callable[[], None], *arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(ended.value.code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def refused(command) -> Callable[..., str]:
    """Runs a command that must end as every user error does, and gives the one sentence it printed."""

    def run(main: Callable[[], None], *arguments: object) -> str:
        ended = command(main, *arguments)
        assert ended.status == 2
        assert "Traceback" not in ended.out + ended.err
        errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, ended.err
        return errors[0]

    return run


@pytest.fixture(scope="session")
def real_images(data_dir) -> list[Image.Image]:
    """One hundred images of four modalities, taken evenly from each archive."""
    found = []
    for name in ("busi_256.zip", "brain_mri_224.zip", "mednist_64.zip", "busi_seg.zip"):
        with zipfile.ZipFile(data_dir / name) as archive:
            members = sorted(member for member in archive.namelist() if member.endswith((".jpg", ".jpeg", ".png")))
            for member in members[:: len(members) // 25][:25]:
                with archive.open(member) as stream:
                    found.append(Image.open(stream).copy())
    return found
