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

from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.variants import VARIANTS
from radiodino.train.backbone import build_backbone
from radiodino.train.cli import app
from radiodino.train.distil.learn import embed, learn
from radiodino.train.distil.run import DistilSettings, distil
from radiodino.train.distil.target import joined_target
from radiodino.train.distil.whitening import fit_whitening
from radiodino.train.pretrain.loop import pretrain
from radiodino.train.pretrain.recipe import preset, set_entries
from radiodino.train.weights.load import load_weights


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


def test_the_target_keeps_the_cosines_of_the_joined_features():
    """Where there is room: two features of three numbers in one of six."""
    found = {name: torch.cat([features(seed, size=3), torch.zeros(200, 3)], dim=1) for seed, name in enumerate("ab")}
    target = joined_target(found, 0.0, near="a")
    one, other = (torch.nn.functional.normalize(value - value.mean(0), dim=1) for value in found.values())
    torch.testing.assert_close(target @ target.T, (one @ one.T + other @ other.T) / 2, atol=1e-4, rtol=0)


def test_the_target_lies_near_the_feature_that_it_is_learnt_from():
    """Of one feature it is that feature, whitened, not a rotation of it."""
    found = features(3)
    expected = fit_whitening(found, 0.5).directions(found)
    torch.testing.assert_close(joined_target({"cls": found}, 0.5, near="cls"), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_last_blocks_give_the_embedding(toy, blocks):
    backbone = build_backbone(toy, 64).eval()
    entering = []
    backbone.blocks[-blocks].register_forward_pre_hook(lambda _module, given: entering.append(given[0]))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(backbone(torch.randn(2, 3, 64, 64)), dim=1)
        torch.testing.assert_close(embed(backbone, blocks, entering[0], autocast=False), expected)


def test_the_last_block_learns_and_nothing_else_changes(toy):
    backbone = build_backbone(toy, 64).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    entering = torch.randn(64, 17, 48)
    with torch.no_grad():
        found = embed(backbone, 1, entering, autocast=False)
    wanted = fit_whitening(found, 0.5).directions(found)
    learn(backbone, 1, entering, wanted, steps=60, seed=0, device=torch.device("cpu"), autocast=False)
    with torch.no_grad():
        learnt = embed(backbone, 1, entering, autocast=False)
    assert (learnt * wanted).sum(1).mean() > (found * wanted).sum(1).mean() + 0.01
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"norm", "blocks"}
    assert not any(name.startswith("blocks.0.") for name in changed)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.fixture
def run(toy, tmp_path, monkeypatch):
    """A short pretraining run, and the images of it."""
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


def distilled(run, out, tmp_path, **changes):
    folder, inputs = run
    settings = DistilSettings(**{"samples": 100, "steps": 40, "sizes": (32, 64), "blocks": 1} | changes)
    return distil(folder, inputs, out, settings, accelerator="cpu", cache=tmp_path / "cache")


def test_a_distilled_run_is_a_run_to_those_who_read_it(run, toy, tmp_path):
    done = distilled(run, tmp_path / "out", tmp_path)
    assert done.checkpoint == tmp_path / "out" / "checkpoint.pth"
    assert done.after > done.before
    backbone, source = load_weights(toy, str(tmp_path / "out"), image_size=64)
    before, _ = load_weights(toy, str(run[0]), image_size=64)
    assert source.kind == "file"
    assert torch.equal(backbone.blocks[0].mlp.fc1.weight, before.blocks[0].mlp.fc1.weight)
    assert not torch.equal(backbone.blocks[1].mlp.fc1.weight, before.blocks[1].mlp.fc1.weight)
    told = json.loads((tmp_path / "out" / "distil.json").read_text())
    assert (told["sizes"], told["inputs"]) == ([32, 64], ["one", "two"])
    assert told["held_out_cosine"] == {"before": done.before, "after": done.after}
    assert (tmp_path / "out" / "log.csv").read_bytes() == (run[0] / "log.csv").read_bytes()


def test_the_same_settings_give_the_same_weights(run, tmp_path):
    first, second = (distilled(run, tmp_path / name, tmp_path).checkpoint for name in ("a", "b"))
    one, other = (torch.load(path, weights_only=True)["teacher"] for path in (first, second))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_is_refused_and_nothing_is_written(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "bare")
    (tmp_path / "bare" / "log.csv").unlink()
    for of, changes, reason in (
        ((tmp_path / "bare", run[1]), {}, "no folder of a run"),
        (run, {"steps": 2}, "at least 20"),
        (run, {"blocks": 3}, "1 to 2 can learn"),
        (run, {"sizes": (60, 64)}, "60"),
        (run, {"power": 2.0}, "between 0 and 1"),
    ):
        with pytest.raises(InputError, match=reason):
            distilled(of, tmp_path / "out", tmp_path, **changes)
    assert not (tmp_path / "out").exists()
    distilled(run, tmp_path / "out", tmp_path)
    with pytest.raises(OutputError, match="holds a checkpoint already"):
        distilled(run, tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [("--precision", "fp64", "choose fp32 or bf16"), ("--sizes", "64,big", "such as 64,96,224")],
)
def test_the_command_refuses_what_it_does_not_know(option, value, reason, tmp_path):
    result = CliRunner().invoke(app, ["distil", str(tmp_path), "--data", "x", "--out", "y", option, value])
    assert isinstance(result.exception, InputError)
    assert reason in str(result.exception)
