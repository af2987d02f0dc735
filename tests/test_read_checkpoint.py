from __future__ import annotations

import argparse
import contextlib
import io
import os
import pathlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import MissingExtraError, WeightsError
from radiodino.runtime.variants import Variant

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.train.backbone import entry_shapes  # noqa: E402
from radiodino.train.weights.backbone_state import backbone_state  # noqa: E402
from radiodino.train.weights.read_checkpoint import find_checkpoint, read_checkpoint  # noqa: E402

DINO = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)


def make_state(variant=DINO, size=64):
    return {name: torch.randn(shape) for name, shape in entry_shapes(variant, size).items()}


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def training_checkpoint():
    """What DINO saves beside its networks: the optimiser with numpy numbers, and the arguments."""
    weight = torch.nn.Parameter(torch.randn(3, 3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = np.float64(3e-4)
    return {
        "student": prefixed(make_state(), "module.backbone."),
        "teacher": prefixed(make_state(), "backbone."),
        "optimizer": optimizer.state_dict(),
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=16, lr=0.0005, dist_url="env://", use_fp16=True),
    }


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("writer", ["torch.save", "safetensors"])
def test_the_content_decides_not_the_suffix(writer, suffix, tmp_path):
    file = tmp_path / f"weights{suffix}"
    state = make_state()
    if writer == "safetensors":
        safetensors_torch.save_file(state, file)
    else:
        torch.save(state, file)
    raw = read_checkpoint(file)
    assert set(raw) == set(state)
    assert all(torch.equal(raw[name], state[name]) for name in state)


def test_a_safetensors_header_that_looks_like_a_pickle_is_read(tmp_path):
    """A header of 640 bytes begins 80 02, as a pickle does."""
    for padding in range(700):
        data = safetensors_torch.save({"a": torch.ones(2)}, metadata={"x": "y" * padding})
        if data[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no header of 640 bytes came about")
    (tmp_path / "a").write_bytes(data)
    assert torch.equal(read_checkpoint(tmp_path / "a")["a"], torch.ones(2))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "checkpoint.pth", "epoch3.ckpt", "a.PT"])
def test_a_folder_with_one_checkpoint(name, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".hidden.pth").write_bytes(b"x")
    (tmp_path / "logs.pth").mkdir()
    torch.save({"a": torch.ones(1)}, tmp_path / name)
    assert find_checkpoint(tmp_path) == tmp_path / name
    assert set(read_checkpoint(tmp_path)) == {"a"}


def test_a_folder_with_several_checkpoints_is_ambiguous(tmp_path):
    for name in ("model.safetensors", "pytorch_model.bin", "b.pth", "a.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        WeightsError, match=r"holds 4 checkpoints \(a\.pt, b\.pth, model\.safetensors and 1 more\), expected one"
    ):
        read_checkpoint(tmp_path)


def test_a_folder_without_a_checkpoint(tmp_path):
    (tmp_path / "readme.md").write_text("nothing")
    with pytest.raises(WeightsError, match=r"holds no checkpoint \(\*\.safetensors, \*\.pth"):
        read_checkpoint(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(WeightsError, match=r"there is no file or folder .*absent\.pth"):
        read_checkpoint(tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_a_name_that_cannot_be(name):
    with pytest.raises(WeightsError, match=r"cannot look up .*; give the path of a checkpoint|there is no file"):
        read_checkpoint(pathlib.Path(name))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="reads a file of the Linux kernel as root")
@pytest.mark.skipif(not pathlib.Path("/proc/self/mem").exists(), reason="no /proc here")
def test_a_file_that_cannot_be_read():
    with pytest.raises(WeightsError, match="cannot read /proc/self/mem: Input/output error"):
        read_checkpoint(pathlib.Path("/proc/self/mem"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page, not weights"),
        (b"\n  <html>", "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (b"\x00" * 100, "is damaged or no checkpoint"),
        (b"\x08\x07\x12\x07pytorch", "is damaged or no checkpoint"),
        (b"x", "is damaged or no checkpoint"),
        (b"PK\x03\x04", "is damaged, truncated or no checkpoint"),
        (b"\x80\x02", "is damaged, truncated or no checkpoint"),
        (b"\x80", "is damaged, truncated or no checkpoint"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "is a damaged or truncated safetensors file"),
        (b"\xff" * 8 + b"{", "is a damaged or truncated safetensors file"),
        (pickle.dumps({"a": 1}, protocol=2), "is damaged, truncated or no checkpoint"),
        (pickle.dumps({"a": 1}, protocol=4), "is damaged, truncated or no checkpoint"),
    ],
)
def test_what_is_no_checkpoint_ends_in_one_sentence(content, message, tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_checkpoint(file)
    assert str(caught.value).startswith("w.pth ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], 5, None], ids=["tensor", "list", "number", "none"])
def test_what_is_no_dictionary_is_refused(value, tmp_path):
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"of type {type(value).__name__}, expected a dictionary of tensors"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.fixture(scope="module")
def sound_files():
    state = {"teacher": prefixed(make_state(), "backbone.")}
    files = {"safetensors": safetensors_torch.save({"a": torch.arange(12.0), "b": torch.ones(3, 3)})}
    for name, zipped in (("zip", True), ("legacy", False)):
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=zipped)
        files[name] = stream.getvalue()
    return files


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_every_truncation_ends_in_one_sentence(form, sound_files, tmp_path):
    whole = sound_files[form]
    file = tmp_path / "w.pth"
    lengths = {1, 2, 8, 9, 20, 40, len(whole) - 1, *random.Random(0).sample(range(1, len(whole)), 25)}
    for length in sorted(lengths):
        file.write_bytes(whole[:length])
        with pytest.raises(WeightsError) as caught:
            read_checkpoint(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(whole)
    assert read_checkpoint(file)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_ends_in_another_error(form, data, sound_files, tmp_path):
    content = bytearray(sound_files[form])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content), 3000) - 1))
        content[place] = data.draw(st.integers(0, 255))
    (tmp_path / "w.pth").write_bytes(content)
    with contextlib.suppress(WeightsError):
        state, _ = backbone_state(read_checkpoint(tmp_path / "w.pth"), DINO, image_size=64)
        assert {name: tuple(value.shape) for name, value in state.items()} == entry_shapes(DINO, 64)


# --- memory


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="limits a process by what /proc says of it")
def test_too_little_memory_is_not_called_damage(tmp_path):
    state = {"a": torch.ones(16 << 20)}
    safetensors_torch.save_file(state, tmp_path / "safetensors")
    torch.save(state, tmp_path / "zip")
    torch.save(state, tmp_path / "legacy", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(1)}, tmp_path / "small")
    code = (
        "import pathlib, resource, sys, safetensors.torch\n"
        "from radiodino.train.weights.read_checkpoint import read_checkpoint\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "read_checkpoint(folder / 'small')\n"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "limit = pages * resource.getpagesize() + (16 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for form in ('safetensors', 'zip', 'legacy'):\n"
        "    try:\n        read_checkpoint(folder / form)\n"
        "    except Exception as error:\n        print(form, type(error).__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["safetensors MemoryError", "zip MemoryError", "legacy MemoryError"]


def test_a_damaged_size_beyond_the_file_is_not_called_too_little_memory(tmp_path):
    """The number of values of a storage, in a pickle of the older form."""
    torch.save({"a": torch.ones(12345)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pth").read_bytes()
    stated, absurd = b"M" + (12345).to_bytes(2, "little"), b"\x8a\x07" + (1 << 52).to_bytes(7, "little")
    assert stated in content
    (tmp_path / "w.pth").write_bytes(content.replace(stated, absurd))
    with pytest.raises(WeightsError, match=r"w\.pth is damaged, .*you tried to allocate 18014398509481984 bytes"):
        read_checkpoint(tmp_path / "w.pth")


# --- pickles that would do more than hold tensors

EXECUTED = []


def execute(value):
    EXECUTED.append(value)
    return value


class Attack:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class AttackByState:
    """Runs on being given its state."""

    def __setstate__(self, state):
        execute(state)

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("where", ["beside the teacher", "in the arguments", "as a weight", "instead of all"])
@pytest.mark.parametrize("attack", ["os.system", "eval", "function", "state", "dtype", "getattr"])
def test_a_malicious_pickle_is_refused_and_does_not_run(attack, where, zipped, tmp_path):
    marker = tmp_path / "executed"
    payload = {
        "os.system": Attack(os.system, f"touch {marker}"),
        "eval": Attack(eval, f"open({str(marker)!r}, 'w')"),
        "function": Attack(execute, 1),
        "state": AttackByState(),
        "dtype": Attack(np.frombuffer, b"abcd"),
        "getattr": Attack(getattr, os, "system"),
    }[attack]
    saved = training_checkpoint()
    if where == "beside the teacher":
        saved["extra"] = payload
    elif where == "in the arguments":
        saved["args"] = argparse.Namespace(lr=payload)
    elif where == "as a weight":
        saved["teacher"]["backbone.cls_token"] = payload
    else:
        saved = payload
    file = tmp_path / "w.pth"
    try:
        torch.save(saved, file, _use_new_zipfile_serialization=zipped)
    except TypeError:  # a module cannot be pickled: name it as pickle would
        assert attack == "getattr"
        saved = pickle.dumps(1)
        file.write_bytes(b"\x80\x02c__builtin__\ngetattr\ncos\nsystem\nX\x01\x00\x00\x00a\x86R.")
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(file)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    assert EXECUTED == []
    if attack not in {"getattr"}:
        assert "w.pth is refused, because it asks for " in str(caught.value)


def test_the_payloads_of_these_tests_do_run_where_pickles_are_trusted(tmp_path):
    torch.save({"a": Attack(os.system, f"touch {tmp_path / 'executed'}")}, tmp_path / "w.pth")
    torch.load(tmp_path / "w.pth", weights_only=False)
    assert (tmp_path / "executed").exists()


def test_reading_allows_nothing_afterwards(tmp_path):
    torch.save({"args": argparse.Namespace(a=1)}, tmp_path / "w.pth")
    before = set(torch.serialization.get_safe_globals())
    assert read_checkpoint(tmp_path / "w.pth")["args"].a == 1
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)


@pytest.mark.parametrize(
    "value",
    [np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True), np.str_("a"), np.datetime64("2020-01-01")],
    ids=lambda value: type(value).__name__,
)
def test_numpy_scalars_are_skipped(value, tmp_path):
    torch.save({"epoch": value, "a": torch.ones(1)}, tmp_path / "w.pth")
    raw = read_checkpoint(tmp_path / "w.pth")
    assert torch.equal(raw["a"], torch.ones(1))
    assert not isinstance(raw["epoch"], np.generic)


def test_a_whole_module_is_refused_with_the_cure(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear .* save its state dict alone"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("module", ["torch", "safetensors"])
def test_a_missing_module_is_named_with_its_extra(module, tmp_path, monkeypatch):
    safetensors_torch.save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed: .*radiodino\[export\]"):
        read_checkpoint(tmp_path / "w.safetensors")
