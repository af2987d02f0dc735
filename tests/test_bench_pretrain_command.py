from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("torchvision")
pytest.importorskip("lightning_fabric")

from radiodino.benchmarks import pretrain_step

SMALL = ("--crops", "16,16,1", "--out-dim", 64, "--batch-size", 2, "--rounds", 1, "--steps", 1, "--threads", 1,
         "--workers", 1, "--accelerator", "cpu")  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "images"
    place.mkdir()
    random = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(random.integers(0, 256, (40, 40), np.uint8)).save(place / f"{index}.jpg")
    return place


def test_measures_and_keeps_the_raw_values(command, folder, tmp_path):
    output = tmp_path / "samples.json"
    ended = command(pretrain_step.command, "--data", folder, *SMALL, "--output", output)
    assert ended.status == 0, ended.err
    for words in ("tiny, 2 × 16 + 1 × 16 px, 64 outputs, batch 2, 32-true", "official style, step alone", "1.00"):
        assert words in ended.out
    found = json.loads(output.read_text(encoding="utf-8"))
    assert list(found["samples"]) == ["official style", "official style, step alone", "ours"]
    assert all(len(rounds) == 1 and rounds[0]["images"] == 2 for rounds in found["samples"].values())
    assert found["recipe"]["crops"]["local_count"] == 1
    assert found["device"]
    assert (found["images"], found["threads"], found["workers"]) == (4, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--crops", "224,96"), "--crops must be three whole numbers such as 224,96,8, not '224,96'"),
        (("--crops", "30,16,1"), "global_size 30 is not a multiple of the patch"),
        (("--rounds", 0), "--rounds must be at least 1, not 0"),
        (("--workers", 0), "--workers must be at least 1, not 0"),
        (("--batch-size", 5), "4 images are fewer than one batch of 5"),
        (("--precision", "16-mixed"), "precision must be one of 32-true, bf16-mixed"),
        (("--variant", "huge"), "there is no variant 'huge'"),
        (("--data", "nowhere"), "there is no readable file or folder nowhere"),
    ],
)
def test_refuses_what_cannot_be_measured(refused, folder, options, message):
    assert message in refused(pretrain_step.command, "--data", folder, *SMALL, *options)
