"""Fixtures shared by all tests."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Before any library starts its threads: two cores that wait for each other by spinning slow a loaded machine tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before any console is made: rich takes the width from here, and the workers of pytest-xdist say 80.
os.environ["COLUMNS"] = "200"

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.errors import UnreadableImageError
from radiodino.runtime.inputs.item import Item
from radiodino.runtime.inputs.listing import list_inputs
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


@pytest.fixture(autouse=True)
def _no_handler_left_behind():
    """PyTorch's DataLoader leaves a handler for ended children behind; in a process in which OpenVINO has computed, a
    call of it from another test ends the process with a segmentation fault."""
    yield
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


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
def _graphs() -> dict[object, bytes]:
    return {}


@pytest.fixture
def traced_once(monkeypatch, _graphs) -> None:
    """Exports in this test take the graph that was traced before from the same weights, for the same size and outputs.

    Tracing takes most of an export's time. That it gives the same bytes again is a test of its own, see test_export.
    """
    from radiodino.export import pipeline

    trace = pipeline.trace

    def traced(backbone, size, outputs, *heads):
        import onnx
        from torch.nn import Module

        digest = hashlib.sha256()
        for module in (backbone, *(part for head in heads for part in vars(head).values() if isinstance(part, Module))):
            for name, value in module.state_dict().items():
                digest.update(name.encode() + value.numpy().tobytes())
        key = (repr(backbone), backbone.blocks[0].attn.num_heads, repr(heads), digest.digest(), size, outputs)
        if key not in _graphs:
            _graphs[key] = trace(backbone, size, outputs, *heads).SerializeToString()
        return onnx.load_from_string(_graphs[key])

    monkeypatch.setattr(pipeline, "trace", traced)


@pytest.fixture(scope="session")
def toy_tasks() -> Path:
    """An exported file that classifies (benign, malignant, normal) and segments (lesion), with attention and cam."""
    return Path(__file__).parent / "data" / "toy-tasks.onnx"


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


@pytest.fixture(scope="session")
def _fake_gpu():
    pytest.importorskip("onnxruntime")
    path = Path(__file__).parent / "data" / "fake_gpu.py"
    spec = importlib.util.spec_from_file_location("fake_gpu", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FakeGpu


@pytest.fixture
def gpu(_fake_gpu, monkeypatch):
    """A machine with a card, TensorRT and CUDA, none of which is real; see tests/data/fake_gpu.py."""
    return _fake_gpu(monkeypatch)


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


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current folder: an empty one of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Those below have no state and the scope of a session, so that property tests may take them too.


@pytest.fixture(scope="session")
def touch() -> Callable[..., None]:
    """Writes files of one byte, with their folders: `touch("d/1.png", "d/2.png")`."""

    def touch(*names: str) -> None:
        for name in names:
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")

    return touch


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """A PNG file of one shade of grey: `png(7)`."""

    def png(shade: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
        stream = io.BytesIO()
        Image.new("L", size, shade).save(stream, "PNG")
        return stream.getvalue()

    return png


@pytest.fixture(scope="session")
def pack() -> Callable[..., None]:
    """Writes a zip archive: `pack("set.zip", {"a/1.png": b"x"})`."""

    def pack(name: str, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> None:
        with zipfile.ZipFile(name, "w", compression) as archive:
            for member, data in members.items():
                archive.writestr(member, data)

    return pack


@pytest.fixture(scope="session")
def altered() -> Callable[..., None]:
    """Replaces bytes of a file: `altered("set.zip", b"old", b"new")`, or a later occurrence of them."""

    def altered(name: str, old: bytes, new: bytes, occurrence: int = 0) -> None:
        data = Path(name).read_bytes()
        parts = data.split(old)
        assert len(parts) > occurrence + 1
        Path(name).write_bytes(old.join(parts[: occurrence + 1]) + new + old.join(parts[occurrence + 1 :]))

    return altered


@pytest.fixture(scope="session")
def names() -> Callable[..., list[str]]:
    """Names of the images behind what is typed: `names("d", "set.zip")`."""
    return lambda *typed: [item.name for item in list_inputs(typed)]


@pytest.fixture(scope="session")
def labels() -> Callable[..., dict[str, str]]:
    """Labels by the names of the images behind what is typed."""
    return lambda *typed: {item.name: item.label for item in list_inputs(typed)}


@pytest.fixture(scope="session")
def unreadable() -> Callable[[Item], str]:
    """Why an item of a list cannot be read, which it must not be."""

    def unreadable(item: Item) -> str:
        with pytest.raises(UnreadableImageError) as caught:
            item.load()
        return caught.value.reason

    return unreadable
