from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("yaml")
pytest.importorskip("lightning_fabric")

from radiodino.train.cli import main


def test_show_prints_the_resolved_recipe(command, tmp_path):
    (tmp_path / "recipe.yaml").write_text("teacher:\n  temperature: 0.07\n")
    ended = command(
        main, "pretrain", "--show", "--variant", "small", "--config", tmp_path / "recipe.yaml", "--set", "seed=5",
        "--epochs", 3,
    )  # fmt: skip
    assert ended.status == 0
    recipe = json.loads(ended.out)
    assert (recipe["variant"], recipe["batch_size"], recipe["epochs"], recipe["seed"]) == ("small", 256, 3, 5)
    assert recipe["teacher"]["temperature"] == 0.07


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--data and the run's folder with --out"),
        (["--data", "no/such/folder", "--out", "run"], "no/such/folder"),
        (["--show", "--variant", "huge"], "tiny, tiny-sp"),
        (["--show", "--method", "byol"], "one of dino, dinov2"),
        (["--show", "--set", "epoch=3"], "'epoch' is unknown"),
        (["--show", "--config", "none.yaml"], "none.yaml"),
        (["--show", "--batch-size", "x"], "see --help"),
    ],
)
def test_errors_are_one_sentence(refused, arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(main, "pretrain", *arguments)


def test_a_small_run_from_the_command_line(command, tmp_path):
    import numpy as np
    from PIL import Image

    (tmp_path / "images").mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 40), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    settings = [
        "cache_size=32", "head.out_dim=32", "head.hidden_dim=16", "head.bottleneck_dim=8", "precision=32-true",
        "crops.global_size=32", "crops.local_size=16", "crops.local_count=1", "optimiser.warmup_epochs=0",
    ]  # fmt: skip
    options = [part for setting in settings for part in ("--set", setting)]
    ended = command(
        main, "pretrain", "--data", tmp_path / "images", "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 4,
        "--accelerator", "cpu", *options,
    )  # fmt: skip
    assert ended.status == 0
    assert "2 steps" in ended.out
    assert f"--weights {tmp_path / 'run'}" in ended.out
    assert (tmp_path / "run" / "checkpoint.pth").is_file()
