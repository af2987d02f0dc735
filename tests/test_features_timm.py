"""Models of timm as sources of features, with random weights; nothing is fetched."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from radiodino.runtime.errors import InputError, WeightsError  # noqa: E402
from radiodino.train.features import timm_model  # noqa: E402
from radiodino.train.features.open import SourceOptions, open_source  # noqa: E402
from radiodino.train.features.presets import PRESETS  # noqa: E402

VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """Caches of its own, and a hub where nobody listens."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def opened(text, size=None, **changes):
    return open_source(text, SourceOptions(accelerator="cpu", image_size=size, **changes))


def grey(size, shade=90):
    return np.full((2, 1, size, size), shade, np.uint8)


def test_pooled_features_of_the_models_own_preprocessing():
    source = opened("timm:vit_tiny_patch16_224", 32, seed=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    inputs = (torch.from_numpy(pixels).float() / 255 - 0.5) / 0.5  # this model's mean and deviation
    with torch.inference_mode():
        expected = network(inputs).numpy()
    np.testing.assert_allclose(source.embed(pixels), expected, atol=1e-5)
    assert (source.size, source.image_size) == (192, 32)
    assert source.name == "vit_tiny_patch16_224 (random weights)"
    told = json.loads(json.dumps(source.describe()))
    assert (told["kind"], told["source"]) == ("random", "timm:vit_tiny_patch16_224, random, seed 4")
    assert told["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert told["licence"] is None
    assert re.fullmatch("[0-9a-f]{64}", told["sha256"])


def test_random_weights_follow_the_seed_and_leave_the_random_state():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = {seed: opened(VIT, 32, seed=seed).describe()["sha256"] for seed in (0, 1)}
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0] != found[1]
    assert opened(VIT, 32).describe()["sha256"] == found[0]


def test_the_models_own_size_is_the_default():
    assert opened("timm:resnet10t").image_size == 176
    assert opened("timm:resnet10t", 64).image_size == 64  # convolutional: any size, without an argument for it


def test_sizes_between_patches_are_cut_where_that_is_meant():
    with pytest.raises(InputError, match=r"56 px are no multiple of the patch \(16 px\).*use 48 px"):
        opened(VIT, 56)
    source = opened(VIT, 56, cut=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 56, 56), np.uint8)
    changed = pixels.copy()
    changed[..., 48:] = 0
    changed[..., 48:, :] = 0
    assert np.array_equal(source.embed(pixels), source.embed(changed))


@pytest.mark.parametrize(
    ("text", "size", "sentence"),
    [
        ("timm:vit_tiny_patch16_22", None, r"no model 'vit_tiny_patch16_22' \(near: .*vit_tiny_patch16_224"),
        ("timm:zzzzzz", None, r"no model 'zzzzzz': see timm"),
        ("timm:resnet50.nobody", None, "no weights 'nobody' of 'resnet50': it has .*a1_in1k"),
        ("timm:vit_tiny_patch16_224", 8, "cannot build|no multiple|does not take"),
        ("timm:gcvit_xxtiny", 50, "cannot build|does not take images of 50 px"),
    ],
)
def test_what_timm_cannot_do_is_said(text, size, sentence):
    with pytest.raises(InputError, match=sentence):
        opened(text, size)


def test_weights_that_cannot_be_reached_are_said_soon(monkeypatch):
    with pytest.raises(WeightsError, match=r"resnet18\.a1_in1k are not in timm's cache.*cannot be reached.*HF_HOME"):
        opened("timm:resnet18.a1_in1k", pretrained=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE forbids the network"):
        opened("timm:resnet18.a1_in1k", pretrained=True)
    asked = []
    monkeypatch.setattr(timm_model, "unreachable", lambda address, _seconds: asked.append(address) or "nobody there")
    with pytest.raises(WeightsError, match=r"nobody there.*TORCH_HOME"):
        opened("preset:ijepa-h14", pretrained=True)
    assert asked == ["https://dl.fbaipublicfiles.com"]


def test_weights_that_do_not_exist_are_never_replaced_by_random_ones():
    with pytest.raises(WeightsError, match="timm knows no pretrained weights of samvit_base_patch16_224"):
        opened("timm:samvit_base_patch16_224", pretrained=True)


def test_pretrained_weights_are_loaded_from_timms_cache(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        network = timm.create_model("legacy_seresnet18", num_classes=1000).eval()
    file = network.pretrained_cfg["url"].rpartition("/")[2]
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "torch" / "hub" / "checkpoints" / file)
    source = opened("timm:legacy_seresnet18", 64, pretrained=True)
    told = source.describe()
    assert (source.name, told["kind"], told["licence"]) == ("legacy_seresnet18", "timm", "apache-2.0")
    assert told["source"] == "timm:legacy_seresnet18.in1k, pretrained"
    network.reset_classifier(0)
    inputs = (torch.full((2, 3, 64, 64), 90.0) / 255 - torch.tensor(told["preprocessing"]["mean"]).view(3, 1, 1)) / (
        torch.tensor(told["preprocessing"]["std"]).view(3, 1, 1)
    )
    with torch.inference_mode():
        np.testing.assert_allclose(source.embed(grey(64)), network(inputs).numpy(), rtol=1e-4, atol=1e-5)


def test_damaged_weights_are_one_sentence(tmp_path):
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    url = timm.models.get_pretrained_cfg("legacy_seresnet18").url
    (tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]).write_bytes(b"text")
    with pytest.raises(WeightsError, match="cannot build legacy_seresnet18 for 224 px with its weights"):
        opened("timm:legacy_seresnet18", pretrained=True)


# --- the rivals of the paper's Table 3 --------------------------------------------------------------------------------

SIZES = {"eva-l14": 1024, "ijepa-h14": 1280, "sam-b16": 256, "dinov2-s14": 384, "dino-s16": 384, "resnet50": 2048}
"""Of the embeddings; the others are base models of 768."""

SMALL = {"dinov2-s14": 28, "dino-s16": 32, "resnet50": 32, "sam-b16": 64}
"""Those that are quickly built, and at what size they run here."""


def test_every_row_of_table_3_has_a_preset():
    rows = {preset.paper_row for preset in PRESETS.values()}
    assert len(rows) == len(PRESETS)
    assert {
        "ViT base CLIP ImageNet finetuned", "ViT base MAE", "ViT base SAM", "ViT large EVA", "ViT huge I-JEPA",
        "ViT base SigLIP", "ViT base CLIP", "ViT small DINOv2", "ResNet50 ImageNet finetuned", "ViT small DINO",
    } <= rows  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_each_rival_is_a_model_with_weights_of_timm(name):
    assert PRESETS[name].model in timm.list_pretrained()


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in SMALL])
def test_each_other_rival_is_built_and_run_without_values(name):
    """On PyTorch's meta device: the architecture and all shapes are real, weights and images hold no numbers."""
    with torch.device("meta"), torch.inference_mode():
        network = timm.create_model(PRESETS[name].model, num_classes=0).eval()
        found = network(torch.empty(2, *network.pretrained_cfg["input_size"]))
    assert found.shape == (2, SIZES.get(name, 768))


@pytest.mark.parametrize("name", SMALL)
def test_each_quick_rival_is_built_and_run(name):
    source = opened(f"preset:{name}", SMALL[name])
    found = source.embed(np.random.default_rng(0).integers(0, 256, (2, 1, SMALL[name], SMALL[name]), np.uint8))
    assert found.shape == (2, SIZES[name])
    assert np.isfinite(found).all()
    assert not np.allclose(found[0], found[1])
    assert source.name == f"{PRESETS[name].paper_row} (random weights)"
