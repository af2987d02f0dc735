from __future__ import annotations

import hashlib
import sys

import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.export.cli import main
from radiodino.runtime import extras
from radiodino.runtime.variants import VARIANTS

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(autouse=True)
def _toy_in_the_family(toy, monkeypatch, tmp_path):
    monkeypatch.setitem(VARIANTS, "toy", toy)
    monkeypatch.chdir(tmp_path)


TOY = ("--variant", "toy", "--weights", "random", "--image-size", "64")


def test_list_shows_the_family(command):
    ended = command(main, "--list")
    assert ended.status == 0
    for variant in VARIANTS.values():
        assert variant.name in ended.out
        assert variant.paper_name in ended.out
    assert "hf_hub:Snarcy/RadioDino-b16" in ended.out


def test_an_export_says_what_it_wrote_and_what_next(command, tmp_path):
    ended = command(main, *TOY, "--fp16")
    assert ended.status == 0
    path = tmp_path / "radiodino-toy-fp16.onnx"
    assert str(path.name) in ended.out
    assert f"{path.stat().st_size:,} bytes" in ended.out
    assert f"sha256   {hashlib.sha256(path.read_bytes()).hexdigest()}" in ended.out
    assert "smallest cosine" in ended.out
    assert "radiodino-run embed" in ended.out


def test_random_weights_are_said_loudly(command):
    assert command(main, *TOY).err.count("RANDOM WEIGHTS") == 2


def test_a_file_is_verified_again(command):
    command(main, *TOY)
    ended = command(main, "verify", "radiodino-toy-fp32.onnx")
    assert ended.status == 0
    assert "agrees with its original" in ended.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fp16"], "--variant"),
        (["--variant", "huge"], "tiny, tiny-sp, small"),
        ([*TOY, "--fp16", "--fp32"], "exclude each other"),
        ([*TOY, "--image-size", "65"], "use 64 or 80"),
        ([*TOY, "--outputs", "logits"], "patch_tokens, attention"),
        ([*TOY, "--output", "no/such/folder/m.onnx"], "does not exist"),
        ([*TOY, "--output", "."], "is a folder"),
        (["--variant", "tiny", "--weights", "none.pth"], "none.pth"),
        (["--variant", "tiny-sp"], "--weights FILE"),
        (["fetch", "--variant", "dinov2-small"], "are published"),
        (["verify", "none.onnx"], "there is no file"),
        ([*TOY, "--checkpoint-key", "student"], "random weights"),
    ],
)
def test_errors_are_one_sentence(refused, arguments, sentence, tmp_path):
    assert sentence in refused(main, *arguments)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_needs_force(command, refused, tmp_path):
    (tmp_path / "radiodino-toy-fp32.onnx").write_text("precious")
    assert "--force" in refused(main, *TOY)
    assert (tmp_path / "radiodino-toy-fp32.onnx").read_text() == "precious"
    assert command(main, *TOY, "--force").status == 0


def test_a_read_only_folder_is_named(refused):
    folder = "/proc/self"
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    assert "/proc/self" in refused(main, *TOY, "--output", f"{folder}/m.onnx")


def test_a_missing_extra_names_its_cure(refused, monkeypatch):
    find_spec = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name))
    assert "onnxscript is not installed: run pip install 'radiodino[export]" in refused(main, *TOY)


def test_help_names_every_option_and_command(command):
    text = command(main, "--help").out
    for word in ("--variant", "--weights", "--fp16", "--image-size", "--outputs", "--force", "--list"):
        assert word in text
    assert "fetch" in text
    assert "verify" in text
