"""The demonstration weights: loaded when asked for, exported for published ones only where nothing was asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnx")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.export.choose_weights import ChosenWeights, choose_weights  # noqa: E402
from radiodino.export.cli import main  # noqa: E402
from radiodino.export.settings import ExportSettings  # noqa: E402
from radiodino.export.verify_file import verify_file  # noqa: E402
from radiodino.runtime import Model  # noqa: E402
from radiodino.runtime.cli import main as run_main  # noqa: E402
from radiodino.runtime.errors import InputError, UnreachableWeightsError, WeightsError  # noqa: E402
from radiodino.runtime.notice import NOTICES  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.weights import demonstration as module  # noqa: E402
from radiodino.train.weights.demonstration import bundled_file, demonstrates, demonstration  # noqa: E402
from radiodino.train.weights.load import WeightsSource, load_weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once")

NOBODY = "http://127.0.0.1:9"
NAME = "radiodino's demonstration weights, toy"
TITLE = "DEMONSTRATION WEIGHTS, NOT RADIO DINO'S"
RECORD = {
    "schema": 1, "variant": "toy", "backbone": "toy.safetensors", "licence": "CC BY-SA 4.0", "machine": "2 cores",
    "seed": 0, "steps": 10, "samples": 80, "recipe": {}, "versions": {}, "data": [], "commands": [], "measured": [],
    "remarks": [], "loss": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def state(toy):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: value.half() for name, value in build_backbone(toy).state_dict().items()}


@pytest.fixture
def folder(state, tmp_path, monkeypatch):
    """Demonstration weights of the toy, taken for those of this installation."""
    folder = tmp_path / "demo"
    folder.mkdir()
    safetensors_torch.save_file(state, folder / "toy.safetensors")
    (folder / "head.safetensors").write_bytes(b"a head")
    files = {}
    for name, holds in (("toy.safetensors", "backbone"), ("head.safetensors", "head")):
        data = (folder / name).read_bytes()
        files[name] = {"holds": holds, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    write_record(folder, files=files)
    monkeypatch.setattr(module, "demonstration_folder", lambda: folder)
    return folder


def write_record(folder, **changes):
    before = folder / "demo.json"
    record = json.loads(before.read_text()) if before.exists() else RECORD
    before.write_text(json.dumps(record | changes))


def sha256_of(folder):
    return hashlib.sha256((folder / "toy.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def published(toy, monkeypatch, tmp_path):
    """The toy as if published where nobody listens, in a home of its own."""
    variant = dataclasses.replace(toy, published="gdrive:1aB-c", licence="MIT (github.com/nobody)")
    monkeypatch.setitem(VARIANTS, "toy", variant)
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    monkeypatch.setattr("radiodino.train.published.fetch.DRIVE", NOBODY)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return variant


def put_local(home, state, variant):
    folder = home / "weights" / variant.name
    folder.mkdir(parents=True)
    file = folder / "checkpoint.safetensors"
    safetensors_torch.save_file({name: value.float() for name, value in state.items()}, file)
    record = {
        "file": file.name, "source": variant.published, "revision": None, "licence": variant.licence,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": file.stat().st_size, "date": "2026-01-01",
    }  # fmt: skip
    (folder / "weights.json").write_text(json.dumps(record))
    return file


# Loading


def test_they_load_and_say_what_they_are(folder, state, toy):
    model, source = load_weights(toy, "demo")
    assert all(torch.equal(model.state_dict()[name], value.float()) for name, value in state.items())
    detail = "top level, no prefix; float16 converted to float32"
    assert source == WeightsSource("demo", NAME, sha256_of(folder), "CC BY-SA 4.0", detail)
    assert demonstrates(toy)
    assert bundled_file("head.safetensors").read_bytes() == b"a head"


def test_they_have_no_key(folder, toy):
    with pytest.raises(InputError, match="no key 'student' in demonstration weights: leave the key out"):
        load_weights(toy, "demo", checkpoint_key="student")


@pytest.mark.parametrize("name", ["small", "tiny-sp"])
def test_other_variants_are_told_which_has_them_and_what_to_do(folder, name):
    with pytest.raises(WeightsError, match=f"weights of 'toy' alone, not of '{name}': choose --variant toy") as caught:
        load_weights(VARIANTS[name], "demo")
    for cure in ("--weights FILE", "--weights random"):
        assert cure in str(caught.value)
    assert (f"radiodino-export fetch --variant {name} " in str(caught.value)) == (name == "small")
    assert not demonstrates(VARIANTS[name])


def test_an_installation_without_them(folder, toy):
    (folder / "demo.json").unlink()
    assert demonstration() is None
    assert not demonstrates(toy)
    with pytest.raises(WeightsError, match=r"has no demonstration weights \(no demo\.json in .*--weights random"):
        load_weights(toy, "demo")
    with pytest.raises(WeightsError, match=r"no demonstration weights 'head\.safetensors' \(there is no demo\.json"):
        bundled_file("head.safetensors")


def test_they_lie_in_the_export_package_which_is_not_imported():
    code = (
        "import sys\nfrom radiodino.train.weights.demonstration import demonstration_folder\n"
        "print(*demonstration_folder().parts[-2:], 'radiodino.export' in sys.modules, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["export", "demo", "False", "False"]


@pytest.mark.parametrize("name", ["toy.safetensors", "head.safetensors"])
def test_a_changed_file_is_an_error(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(WeightsError, match=r"has changed since it was packed \(SHA-256 .*: install radiodino again"):
        bundled_file(name)


def test_a_changed_backbone_is_not_loaded(folder, toy):
    (folder / "toy.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="has changed since it was packed"):
        load_weights(toy, "demo")


def test_a_missing_file_is_an_error(folder, toy):
    (folder / "toy.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"toy\.safetensors is missing, though demo\.json beside it records it"):
        load_weights(toy, "demo")


@pytest.mark.parametrize("name", ["none.safetensors", "demo.json", "../demo/toy.safetensors", ""])
def test_a_file_that_was_not_packed(folder, name):
    with pytest.raises(WeightsError, match=r"it has head\.safetensors, toy\.safetensors"):
        bundled_file(name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 2}, "is of schema 2, expected 1"),
        ({"licence": None}, "'licence' is of the wrong type"),
        ({"surprise": 1}, "'surprise' is unknown"),
        ({"files": {"toy.safetensors": {}}}, "is missing"),
    ],
)
def test_a_record_that_does_not_fit_is_an_error(folder, toy, changes, reason):
    write_record(folder, **changes)
    with pytest.raises(WeightsError, match=f"{reason}.*: install radiodino again"):
        load_weights(toy, "demo")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_damaged_record_is_an_error(folder, toy, text):
    (folder / "demo.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"the record .*demo\.json cannot be read"):
        load_weights(toy, "demo")


# Which weights an export takes


@pytest.mark.parametrize("asked", ["random", "demo", "some/file.pth", ""])
def test_what_was_asked_for_is_taken(folder, published, asked):
    assert choose_weights(published, asked) == ChosenWeights(asked)


@pytest.mark.parametrize("asked", [None, "published"])
def test_a_local_copy_is_taken_without_a_network(folder, published, state, tmp_path, asked):
    put_local(tmp_path / "home", state, published)
    assert choose_weights(published, asked) == ChosenWeights("published")


def test_only_an_unsaid_choice_falls_back(folder, published):
    chosen = choose_weights(published, None)
    assert chosen.weights == "demo"
    assert chosen.fallback_reason.startswith(f"{NOBODY} cannot be reached (")
    with pytest.raises(UnreachableWeightsError, match="could not be fetched"):
        choose_weights(published, "published")


def test_offline_mode_falls_back_too(folder, published, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert choose_weights(published, None) == ChosenWeights("demo", "HF_HUB_OFFLINE forbids the network")


@pytest.mark.parametrize("asked", [None, "published"])
def test_a_damaged_local_copy_is_an_error(folder, published, state, tmp_path, asked):
    file = put_local(tmp_path / "home", state, published)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="has changed since it was fetched") as caught:
        choose_weights(published, asked)
    assert not isinstance(caught.value, UnreachableWeightsError)


def test_damaged_demonstration_weights_are_an_error(folder, published):
    (folder / "toy.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="has changed since it was packed"):
        choose_weights(published, None)


@pytest.mark.parametrize("name", ["small", "tiny-sp"])
def test_other_variants_end_in_the_error_with_its_cures(folder, published, name):
    with pytest.raises(WeightsError, match="with --weights FILE, or try out with --weights random"):
        choose_weights(VARIANTS[name], None)


def test_an_installation_without_them_ends_in_the_error_too(folder, published):
    (folder / "demo.json").unlink()
    with pytest.raises(UnreachableWeightsError, match="could not be fetched"):
        choose_weights(published, None)


# Exporting


def words(text):
    """What a banner says, whatever its box and line breaks."""
    return re.sub(r"[║═╔╗╚╝\s]+", " ", text)


def test_without_the_published_weights_an_export_ends_well_and_says_so(command, folder, published, state, here):
    ended = command(main, "--variant", "toy", "--fp16", "--image-size", "64")
    assert ended.status == 0
    file = here / "radiodino-toy-demo-fp16.onnx"
    assert [path.name for path in here.glob("*.onnx")] == [file.name]

    said = words(ended.err)
    assert said.count(TITLE) == 2  # before the export and below it
    for part in (
        "The published weights of 'toy' are not on this machine and could not be fetched (http://127.0.0.1:9 cannot be "
        "reached",
        "so the demonstration weights stand in for them",
        f"{file.name} holds {NOTICES['demo']}.",
        "run radiodino-export fetch --variant toy on a machine with internet",
        "export with --weights published",
    ):
        assert said.count(part) == 2, part
    assert f"notice   {NOTICES['demo']}" in ended.out

    info = Model.load(file).info
    assert info.notice == NOTICES["demo"]
    assert (info.weights.kind, info.weights.name, info.weights.sha256) == ("demo", NAME, sha256_of(folder))
    assert info.weights.licence == "CC BY-SA 4.0"
    assert info.verification["passed"]

    assert all(found.passed for found in verify_file(file))  # without being told the weights
    Image.fromarray(np.zeros((20, 20), np.uint8)).save("image.png")
    assert command(run_main, "embed", "image.png", "--model", file, "-o", "out.csv").status == 0
    assert json.loads((here / "out.csv.info.json").read_text(encoding="utf-8"))["notice"] == NOTICES["demo"]

    other = {name: value + 1 for name, value in state.items()}
    safetensors_torch.save_file(other, folder / "toy.safetensors")
    files = json.loads((folder / "demo.json").read_text())["files"]
    files["toy.safetensors"]["sha256"] = sha256_of(folder)
    write_record(folder, files=files)
    with pytest.raises(WeightsError, match=f"made from demonstration weights with SHA-256 {info.weights.sha256}"):
        verify_file(file)


def test_a_name_that_was_given_is_kept_and_the_banner_is_the_same(command, folder, published, here):
    ended = command(main, "--variant", "toy", "--image-size", "64", "-o", "mine.onnx", "--weights", "demo")
    assert ended.status == 0
    assert [path.name for path in here.glob("*.onnx")] == ["mine.onnx"]
    assert words(ended.err).count(TITLE) == 2
    assert f"mine.onnx holds {NOTICES['demo']}." in words(ended.err)
    assert "could not be fetched" not in words(ended.err)  # nothing failed: they were asked for
    assert Model.load("mine.onnx").info.notice == NOTICES["demo"]


def test_the_names_of_files_tell_them_apart(toy):
    names = {weights: str(ExportSettings(toy, weights).target) for weights in ("published", "demo", "random")}
    assert names["demo"] == "radiodino-toy-demo-fp32.onnx"
    assert names["published"] == names["random"] == "radiodino-toy-fp32.onnx"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--variant", "toy", "--weights", "published"], "could not be fetched"),
        (["--variant", "small"], "radiodino-export fetch --variant small on a machine"),
        (["--variant", "tiny-sp"], "--weights FILE"),
        (["--variant", "small", "--weights", "demo"], "weights of 'toy' alone, not of 'small'"),
        (["--variant", "toy", "--weights", ""], "no weights are named"),
    ],
)
def test_what_ends_in_an_error(refused, folder, published, here, arguments, sentence):
    assert sentence in refused(main, *arguments)
    assert not list(here.glob("*.onnx"))


def test_a_demonstration_never_replaces_a_file_unasked(refused, folder, published, here):
    (here / "radiodino-toy-demo-fp16.onnx").write_text("precious")
    assert "--force" in refused(main, "--variant", "toy", "--fp16")
    assert (here / "radiodino-toy-demo-fp16.onnx").read_text() == "precious"


def test_help_says_what_an_unsaid_choice_means(command):
    text = " ".join(words(command(main, "--help").out).replace("│", " ").split())
    assert "By default published; where those of tiny are neither local nor reachable, demo" in text
