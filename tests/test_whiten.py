from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from radiodino.runtime.errors import InputError, OutputError, WeightsError
from radiodino.runtime.variants import VARIANTS
from radiodino.train.backbone import build_backbone
from radiodino.train.whiten.absorb import absorb, leave
from radiodino.train.whiten.whitening import fit_whitening


def features(seed: int, count: int = 200, size: int = 6) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(size, size, generator=draws)).Q
    return torch.randn(count, size, generator=draws) * torch.logspace(0, -1, size) @ axes + 5


@given(st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_full_whitening_makes_all_directions_vary_alike(seed):
    found = features(seed)
    whitening = fit_whitening(found, 1.0)
    white = ((found - whitening.mean) @ whitening.matrix).double()
    torch.testing.assert_close(white.T @ white / len(white), torch.eye(6).double(), atol=2e-2, rtol=0)


@given(st.integers(0, 2**16), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_a_power_between_narrows_the_spread(seed, power):
    """The variances after it are the variances before to the power of 1 - power, along the same axes."""
    found = features(seed).double()
    centred = found - found.mean(0)
    before = torch.linalg.eigvalsh(centred.T @ centred / len(found))
    whitening = fit_whitening(found.float(), power)
    after = centred @ whitening.matrix.double()
    variances = torch.linalg.eigvalsh(after.T @ after / len(found))
    torch.testing.assert_close(variances, before ** (1 - power), rtol=2e-2, atol=1e-6)


def test_no_power_only_centres():
    found = features(0)
    expected = torch.nn.functional.normalize(found - found.mean(0), dim=1)
    torch.testing.assert_close(fit_whitening(found, 0.0).directions(found), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("found", "power", "reason"),
    [
        (torch.randn(5, 3), 1.1, "between 0 and 1"),
        (torch.randn(5, 3), float("nan"), "between 0 and 1"),
        (torch.randn(1, 3), 0.5, "two images at least"),
        (torch.ones(5, 3), 0.5, "the same embedding"),
    ],
)
def test_what_cannot_be_whitened_is_refused(found, power, reason):
    with pytest.raises(InputError, match=reason):
        fit_whitening(found, power)


def test_the_tail_is_that_of_the_network(toy):
    """What `leave` gives for tokens before the last MLP is the embedding, for every token."""
    backbone = build_backbone(toy, 64).eval()
    entering = []
    backbone.blocks[-1].norm2.register_forward_pre_hook(lambda _module, given: entering.append(given[0]))
    with torch.inference_mode():
        left = backbone.forward_features(torch.randn(2, 3, 64, 64))
        torch.testing.assert_close(leave(backbone, entering[0]), torch.nn.functional.normalize(left, dim=-1))


def test_the_last_mlp_learns_the_map_and_nothing_else_changes(toy):
    backbone = build_backbone(toy, 64).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    entering = torch.randn(512, 1, 48)
    with torch.no_grad():
        left = leave(backbone, entering)
    wanted = fit_whitening(left[:, 0], 0.5).directions(left)
    cosine = (left * wanted).sum(-1).mean()
    absorb(backbone, entering, wanted, steps=200, seed=0)
    with torch.no_grad():
        assert (leave(backbone, entering) * wanted).sum(-1).mean() > max(0.97, cosine)
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("norm.", "blocks.1.norm2.", "blocks.1.mlp.")) for name in changed)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.fixture
def run(toy, tmp_path, monkeypatch):
    """A short pretraining run, and the images of it."""
    from radiodino.train.pretrain.loop import pretrain
    from radiodino.train.pretrain.recipe import preset, set_entries

    monkeypatch.setitem(VARIANTS, toy.name, toy)
    rng = np.random.default_rng(0)
    for source in ("one", "two"):
        (tmp_path / source).mkdir()
        for number in range(12):
            pixels = np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / source / f"{number}.png")
    recipe = set_entries(
        preset("dino", toy.name),
        ["epochs=1", "batch_size=8", "optimiser.warmup_epochs=0", "crops.global_size=64", "crops.local_size=32",
         "crops.local_count=1", "head.out_dim=32", "head.hidden_dim=32", "precision=32-true", "cache_size=64"],
    )  # fmt: skip
    inputs = [str(tmp_path / "one"), str(tmp_path / "two")]
    pretrain(recipe, inputs, tmp_path / "run", accelerator="cpu", cache=tmp_path / "cache")
    return tmp_path / "run", inputs


def whitened(run, out, tmp_path, **changes):
    from radiodino.train.whiten.run import WhitenSettings, whiten

    folder, inputs = run
    settings = WhitenSettings(**{"samples": 120, "steps": 300, "image_size": 64, "power": 0.3} | changes)
    return whiten(folder, inputs, out, settings, accelerator="cpu", cache=tmp_path / "cache")


def test_a_whitened_run_is_a_run_to_those_who_read_it(run, toy, tmp_path):
    from radiodino.train.weights.load import load_weights

    done = whitened(run, tmp_path / "out", tmp_path)
    assert done.checkpoint == tmp_path / "out" / "checkpoint.pth"
    assert done.cosine > 0.98
    backbone, source = load_weights(toy, str(tmp_path / "out"), image_size=64)
    before, _ = load_weights(toy, str(run[0]), image_size=64)
    assert source.kind == "file"
    assert torch.equal(backbone.blocks[0].mlp.fc1.weight, before.blocks[0].mlp.fc1.weight)
    assert not torch.equal(backbone.blocks[1].mlp.fc1.weight, before.blocks[1].mlp.fc1.weight)
    told = json.loads((tmp_path / "out" / "whitening.json").read_text())
    assert (told["power"], told["inputs"], told["held_out_cosine"]) == (0.3, ["one", "two"], done.cosine)
    assert (tmp_path / "out" / "log.csv").read_bytes() == (run[0] / "log.csv").read_bytes()


def test_the_same_settings_give_the_same_weights(run, tmp_path):
    first, second = (whitened(run, tmp_path / name, tmp_path).checkpoint for name in ("a", "b"))
    one, other = (torch.load(path, weights_only=True)["teacher"] for path in (first, second))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_is_refused_and_nothing_is_written(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "bare")
    (tmp_path / "bare" / "log.csv").unlink()
    with pytest.raises(InputError, match="no folder of a run"):
        whitened((tmp_path / "bare", run[1]), tmp_path / "out", tmp_path)
    with pytest.raises(InputError, match="at least 20"):
        whitened(run, tmp_path / "out", tmp_path, steps=2)
    with pytest.raises(WeightsError, match="lower --power"):
        whitened(run, tmp_path / "out", tmp_path, steps=20, power=1.0)
    assert not (tmp_path / "out").exists()
    whitened(run, tmp_path / "out", tmp_path)
    with pytest.raises(OutputError, match="holds a checkpoint already"):
        whitened(run, tmp_path / "out", tmp_path)


def test_the_command_refuses_an_unknown_precision(tmp_path):
    from radiodino.train.cli import app

    result = CliRunner().invoke(app, ["whiten", str(tmp_path), "--data", "x", "--out", "y", "--precision", "fp64"])
    assert isinstance(result.exception, InputError)
    assert "choose fp32 or bf16" in str(result.exception)
