from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import time

import pytest

from radiodino.runtime.errors import InputError, MissingExtraError, WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.weights.backbone_state import backbone_state  # noqa: E402
from radiodino.train.weights.load import WeightsSource, load_weights, sharpen_attention  # noqa: E402

TOY = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)
TOY_V2 = Variant("toy-v2", "toy", 48, 2, 3, 14, 0.1, True, "dino", None, None)
PUBLISHED = dataclasses.replace(TOY, published="hf_hub:nobody/toy", licence="CC BY 4.0 (model card)")

CURES = (
    "run  radiodino-export fetch --variant {name}  on a machine with internet and copy its RADIODINO_HOME folder here, "
    "or give a file with --weights FILE, or try out with --weights random"
)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """A home of its own, and a hub and a drive where nobody listens."""
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("radiodino.train.published.fetch.DRIVE", "http://127.0.0.1:9")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def put_local(home, model, variant=PUBLISHED, **changes):
    folder = home / "weights" / variant.name
    folder.mkdir(parents=True)
    file = folder / "model.safetensors"
    safetensors_torch.save_file(model.state_dict(), file)
    record = {
        "file": file.name,
        "source": variant.published,
        "revision": "0" * 40,
        "licence": variant.licence,
        "sha256": sha256(file),
        "size": file.stat().st_size,
        "date": "2026-01-01T00:00:00+00:00",
    }
    (folder / "weights.json").write_text(json.dumps({**record, **changes}))
    return file


# --- random


def test_random_weights_depend_on_the_seed_alone():
    first, source = load_weights(TOY, "random", image_size=64, seed=3)
    torch.rand(5)
    again, same_source = load_weights(TOY, "random", image_size=64, seed=3)
    other, other_source = load_weights(TOY, "random", image_size=64, seed=4)
    assert same(first, again)
    assert source == same_source
    assert not same(first, other)
    assert source.sha256 != other_source.sha256
    assert dataclasses.replace(source, sha256="") == WeightsSource(
        "random",
        "random, seed 3",
        "",
        None,
        "as timm initialises them; position table resized from 14x14 to 4x4 (timm)",
    )
    assert not first.training


def test_random_weights_are_timms_own_initialisation():
    model, source = load_weights(TOY, "random", seed=11)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = build_backbone(TOY)
    assert same(model, expected)
    assert source.detail == "as timm initialises them"
    values = b"".join(value.numpy().tobytes() for _, value in sorted(expected.state_dict().items()))
    assert source.sha256 == hashlib.sha256(values).hexdigest()


def test_random_weights_at_another_size_are_the_same_weights():
    at_224, source_224 = load_weights(TOY_V2, "random")
    at_448, source_448 = load_weights(TOY_V2, "random", image_size=448)
    resized, _ = backbone_state(at_224.state_dict(), TOY_V2, image_size=448)
    assert all(torch.equal(at_448.state_dict()[name], value) for name, value in resized.items())
    assert source_448.sha256 == source_224.sha256
    assert source_448.detail == "as timm initialises them; position table resized from 16x16 to 32x32 (dino)"


@pytest.mark.parametrize("weights", ["random", "file"])
def test_the_random_state_is_left_alone(weights, tmp_path):
    torch.save(build_backbone(TOY).state_dict(), tmp_path / "w.pth")
    before = torch.random.get_rng_state()
    load_weights(TOY, weights if weights == "random" else str(tmp_path / "w.pth"), seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_weights_have_no_key():
    with pytest.raises(InputError, match="no key 'student' in random weights: leave the key out"):
        load_weights(TOY, "random", checkpoint_key="student")


# --- attention for trials


def test_sharpened_attention_is_no_longer_uniform():
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def peak(model):
        block, seen = model.blocks[0], {}
        hook = block.attn.register_forward_pre_hook(lambda _, arguments: seen.update(x=arguments[0]))
        with torch.inference_mode():
            model(image)
            hook.remove()
            q, k = block.attn.qkv(seen["x"])[0, :, :96].split(48, dim=-1)
            return torch.softmax(q[:, :16] @ k[:, :16].T / 4, dim=-1).max().item()

    model, _ = load_weights(TOY, "random")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert peak(model) < 0.02  # of 197 entries, so nearly 1 / 197
    sharpen_attention(model, 20.0)
    assert peak(model) > 0.2
    for name, value in model.state_dict().items():
        if name.endswith((".attn.qkv.weight", ".attn.qkv.bias")):
            assert torch.equal(value[:96], 20 * before[name][:96])
            assert torch.equal(value[96:], before[name][96:])
        else:
            assert torch.equal(value, before[name])


def test_layer_scale_is_raised_only_when_asked():
    model, _ = load_weights(TOY_V2, "random", image_size=56)
    sharpen_attention(model, 2.0)
    assert model.blocks[0].ls1.gamma.unique().tolist() == pytest.approx([1e-5])
    sharpen_attention(model, 1.0, layer_scale=0.5)
    assert {gamma for block in model.blocks for gamma in (*block.ls1.gamma.tolist(), *block.ls2.gamma.tolist())} == {
        0.5
    }


# --- a file


def test_a_file(tmp_path):
    reference = build_backbone(TOY, 64)
    file = tmp_path / "teacher checkpoint.pth"
    torch.save({"teacher": {f"backbone.{name}": value for name, value in reference.state_dict().items()}}, file)
    model, source = load_weights(TOY, str(file), image_size=64)
    assert same(model, reference)
    assert source == WeightsSource("file", "teacher checkpoint.pth", sha256(file), None, "teacher, prefix backbone.")
    assert not model.training
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(images), reference(images))


def test_a_folder_is_named_by_its_file(tmp_path):
    reference = build_backbone(TOY, 64)
    folder = tmp_path / "mine"
    folder.mkdir()
    safetensors_torch.save_file(reference.state_dict(), folder / "model.safetensors")
    model, source = load_weights(TOY, str(folder), image_size=64)
    assert same(model, reference)
    assert (source.name, source.sha256) == ("model.safetensors", sha256(folder / "model.safetensors"))


def test_the_key_reaches_the_checkpoint(tmp_path):
    teacher, student = build_backbone(TOY, 64), build_backbone(TOY, 64)
    torch.save({"teacher": teacher.state_dict(), "student": student.state_dict()}, tmp_path / "w.pth")
    model, source = load_weights(TOY, str(tmp_path / "w.pth"), image_size=64)
    assert same(model, teacher)
    assert source.detail == "teacher, no prefix"
    model, source = load_weights(TOY, str(tmp_path / "w.pth"), image_size=64, checkpoint_key="student")
    assert same(model, student)
    assert source.detail == "student, no prefix"


def test_messages_name_the_file(tmp_path):
    torch.save(build_backbone(TOY).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=r"^mine\.pth: these weights .* expected 'toy-v2'"):
        load_weights(TOY_V2, str(tmp_path / "mine.pth"))


@pytest.mark.parametrize("weights", ["absent.pth", "Published", "hf_hub:Snarcy/RadioDino-s16"])
def test_a_path_that_is_not_there(weights):
    with pytest.raises(
        WeightsError, match=f"there is no file or folder {weights}: give published, demo, random, or the path"
    ):
        load_weights(TOY, weights)


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    torch.save(build_backbone(TOY).state_dict(), tmp_path / "w.pth")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no weights are named"):
        load_weights(TOY, "")
    assert load_weights(TOY, ".")[1].name == "w.pth"


@pytest.mark.parametrize("weights", ["random", "published", "absent.pth"])
def test_a_size_that_does_not_fit_is_refused_first(weights):
    with pytest.raises(InputError, match="image size 100 is not a multiple"):
        load_weights(VARIANTS["tiny-sp"], weights, image_size=100)


@pytest.mark.parametrize("module", ["torch", "timm"])
def test_a_missing_module(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"{module} is not installed"):
        load_weights(TOY, "random")


# --- published


def test_a_local_copy_needs_no_network(tmp_path):
    reference = build_backbone(PUBLISHED)
    file = put_local(tmp_path / "home", reference)
    model, source = load_weights(PUBLISHED, "published")
    assert same(model, reference)
    assert source == WeightsSource(
        "published", "hf_hub:nobody/toy", sha256(file), "CC BY 4.0 (model card)", "top level, no prefix"
    )


def test_a_local_copy_may_be_carried_to_another_home(tmp_path, monkeypatch):
    reference = build_backbone(PUBLISHED)
    put_local(tmp_path / "home", reference)
    shutil.copytree(tmp_path / "home", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "home")
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "elsewhere"))
    assert same(load_weights(PUBLISHED, "published")[0], reference)


def test_a_changed_local_copy_is_an_error(tmp_path):
    file = put_local(tmp_path / "home", build_backbone(PUBLISHED))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"has changed since it was fetched .*: delete the folder .* and fetch"):
        load_weights(PUBLISHED, "published")


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_neither_network_nor_local_copy_names_the_three_cures_in_time(name):
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        load_weights(VARIANTS[name], "published")
    assert time.monotonic() - start < 10
    assert CURES.format(name=name) in str(caught.value)
    assert "127.0.0.1:9 cannot be reached" in str(caught.value)


def test_the_network_is_asked_before_torch_is_imported():
    """Its import can take most of the 10 seconds on a small machine."""
    code = (
        "import sys\n"
        "from radiodino.runtime.errors import WeightsError\n"
        "from radiodino.runtime.variants import VARIANTS\n"
        "from radiodino.train.weights.load import load_weights\n"
        "try:\n    load_weights(VARIANTS['small'], 'published')\n"
        "except WeightsError as error:\n    print('unreachable' if 'cannot be reached' in str(error) else error)\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["unreachable", "False"]


@pytest.mark.parametrize("name", ["tiny-sp", "dinov2-small"])
def test_what_is_not_published_is_said_at_once(name, monkeypatch):
    monkeypatch.setattr("radiodino.train.published.fetch.unreachable", lambda *_: pytest.fail("asked the network"))
    with pytest.raises(WeightsError) as caught:
        load_weights(VARIANTS[name], "published")
    assert str(caught.value) == (
        f"no weights of '{name}' are published: give your own with --weights FILE, or try out with --weights random"
    )


def test_another_variants_local_copy_is_not_used_in_its_place(tmp_path):
    put_local(tmp_path / "home", build_backbone(PUBLISHED))
    with pytest.raises(WeightsError, match="could not be fetched"):
        load_weights(dataclasses.replace(PUBLISHED, name="toy-b"), "published")
    with pytest.raises(WeightsError, match="are from hf_hub:nobody/toy, expected hf_hub:nobody/other"):
        load_weights(dataclasses.replace(PUBLISHED, published="hf_hub:nobody/other"), "published")
