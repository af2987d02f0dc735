from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("lightning_fabric")
pytest.importorskip("yaml")

import torch

from radiodino.runtime.errors import InputError, OutputError, WeightsError
from radiodino.runtime.variants import VARIANTS
from radiodino.train.position_table import resize_position_table
from radiodino.train.pretrain.loop import pretrain
from radiodino.train.pretrain.recipe import Recipe, preset, set_entries
from radiodino.train.pretrain.step_crops import make_step_crops
from radiodino.train.weights.load import load_weights
from radiodino.train.weights.sha256 import file_sha256

SETTINGS = [
    "epochs=3", "batch_size=8", "precision=32-true", "cache_size=40", "head.out_dim=64", "head.hidden_dim=32",
    "head.bottleneck_dim=16", "crops.global_size=32", "crops.local_size=16", "crops.local_count=2",
    "optimiser.warmup_epochs=1", "checkpoint_minutes=0",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _known(toy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "toy", toy)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for index in range(18):
        Image.fromarray(random.integers(0, 256, (50, 45), np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def recipe(*settings: str) -> Recipe:
    return set_entries(preset("dino", "toy"), [*SETTINGS, *settings])


def train(data, out, *settings, **options):
    return pretrain(recipe(*settings), [str(data)], out, accelerator="cpu", cache=data.parent / "cache", **options)


def state(out):
    return torch.load(out / "checkpoint.pth", weights_only=True)


def differences(a, b, part):
    assert a[part].keys() == b[part].keys()
    return {name: (a[part][name] - b[part][name]).abs().max().item() for name in a[part]}


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of 6 steps."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = train(data, out)
    assert done.steps == 6
    return out


def test_a_run_learns_and_says_how(whole):
    with (whole / "log.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(6))
    assert all(float(row["loss"]) > 0 for row in rows)
    start, end = recipe(), state(whole)
    assert end["recipe"]["head"]["out_dim"] == start.head.out_dim
    from radiodino.train.pretrain.networks import build_networks

    student, _ = build_networks(start)
    moved = [name for name, value in student.state_dict().items() if not torch.equal(value, end["student"][name])]
    assert "backbone.blocks.0.attn.qkv.weight" in moved
    assert "head.last_layer.weight_g" not in moved  # frozen
    assert any(not torch.equal(end["student"][name], end["teacher"][name]) for name in moved)


def test_the_same_run_is_the_same_bit_for_bit(whole, data, tmp_path):
    train(data, tmp_path / "again")
    for part in ("student", "teacher"):
        assert not any(differences(state(whole), state(tmp_path / "again"), part).values())


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(whole, data, tmp_path, stop):
    train(data, tmp_path / "run", stop_after=stop)
    done = train(data, tmp_path / "run", resume=True)
    assert done.steps == 6
    first, second = state(whole), state(tmp_path / "run")
    for part in ("student", "teacher", "centres"):
        assert not any(differences(first, second, part).values())
    with (tmp_path / "run" / "log.csv").open(newline="", encoding="utf-8") as stream:
        assert [int(row["step"]) for row in csv.DictReader(stream)] == list(range(6))


PREAMBLE = """
import sys
from pathlib import Path
from radiodino.runtime.variants import VARIANTS, Variant
from radiodino.train.pretrain.loop import pretrain
from radiodino.train.pretrain.recipe import preset, set_entries
"""


ALONE = """
import os, signal
data, out, cache, end, resume, *settings = sys.argv[1:]
def told(done, _total):
    if done == int(end):
        os.kill(os.getpid(), signal.SIGKILL)
pretrain(set_entries(preset("dino", "toy"), settings), [data], Path(out), accelerator="cpu", cache=Path(cache),
         resume=bool(resume), progress=told)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_resumes_exactly(data, tmp_path, toy):
    def alone(out, end=0, resume=""):
        """Begun in a process of its own: in this one other tests may have set how PyTorch computes."""
        script = f"{PREAMBLE}VARIANTS['toy'] = {toy!r}\n{ALONE}"
        given = [data, tmp_path / out, data.parent / "cache", end, resume, *SETTINGS]
        return subprocess.Popen([sys.executable, "-c", script, *map(str, given)])

    beside = alone("whole")
    assert alone("run", end=3).wait(120) == -signal.SIGKILL
    assert state(tmp_path / "run")["step"] == 2
    assert alone("run", resume="yes").wait(120) == 0
    assert beside.wait(120) == 0
    for part in ("student", "teacher"):
        assert not any(differences(state(tmp_path / "whole"), state(tmp_path / "run"), part).values())


DINOV2 = ("method=dinov2", "patches.mask_probability=1.0", "optimiser.scaling=none", "optimiser.layer_decay=0.9")

# Each process draws its own stochastic depth, and KoLeo looks for neighbours in one process alone, as officially.
METHODS = {"dino": ("drop_path=0",), "dinov2": (*DINOV2, "patches.koleo_weight=0", "drop_path=0")}

TWO = """
import json
data, out, cache, methods = sys.argv[1:]
for name, settings in json.loads(methods).items():
    pretrain(set_entries(preset("dino", "toy"), settings), [data], Path(out) / name, accelerator="cpu",
             cache=Path(cache), devices=2)
"""


@pytest.fixture(scope="module")
def by_two(whole, data, tmp_path_factory, toy):
    """A run of each method by two processes; the images are decoded already."""
    out = tmp_path_factory.mktemp("two")
    script = out / "train.py"
    script.write_text(f"{PREAMBLE}VARIANTS['toy'] = {toy!r}\n{TWO}")
    methods = {name: [*SETTINGS, *settings] for name, settings in METHODS.items()}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ran = subprocess.run(
        [*launcher, str(script), str(data), str(out), str(data.parent / "cache"), json.dumps(methods)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return out


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one_with_the_same_batch(by_two, data, tmp_path, method):
    train(data, tmp_path / "run", *METHODS[method])
    one, two = state(tmp_path / "run"), state(by_two / method)
    assert max(differences(one, two, "teacher").values()) < 1e-6
    assert max(differences(one, two, "centres").values()) < 1e-6
    worst = differences(one, two, "student")
    # The key's bias has no true gradient: AdamW scales its rounding noise to the size of a step.
    assert max(value for name, value in worst.items() if not name.endswith("qkv.bias")) < 1e-4


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_leaves_a_run_that_resumes(whole, data, tmp_path):
    def interrupt(done, _total):
        if done == 2:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)  # not by the system, see conftest

    with pytest.raises(KeyboardInterrupt, match=r"after 2 of 6 steps.*--resume"):
        train(data, tmp_path / "run", "checkpoint_minutes=60", progress=interrupt)
    train(data, tmp_path / "run", "checkpoint_minutes=60", resume=True)
    for part in ("student", "teacher"):
        assert not any(differences(state(whole), state(tmp_path / "run"), part).values())


@pytest.mark.parametrize("settings", [(), ("patches.separate_head=true", "patches.centring=sinkhorn_knopp")])
def test_dinov2_learns_and_resumes_exactly(data, tmp_path, settings):
    done = train(data, tmp_path / "whole", *DINOV2, *settings)
    assert done.steps == 6
    assert np.isfinite(done.loss)
    train(data, tmp_path / "run", *DINOV2, *settings, stop_after=3)
    train(data, tmp_path / "run", *DINOV2, *settings, resume=True)
    first, second = state(tmp_path / "whole"), state(tmp_path / "run")
    for part in ("student", "teacher", "centres"):
        assert not any(differences(first, second, part).values())
    assert first["student"]["mask_token"].abs().max() > 0  # it started at 0 and has learned
    assert ("ibot_head.mlp.0.weight" in first["student"]) == bool(settings)
    load_weights(VARIANTS["toy"], str(tmp_path / "run"))


def test_a_run_starts_from_another_ones_networks_at_another_size(whole, data, tmp_path):
    settings = ("epochs=1", "optimiser.learning_rate=0", "teacher.momentum=1", "optimiser.warmup_epochs=0")
    train(data, tmp_path / "same", *settings, start=whole)
    train(data, tmp_path / "wide", *settings, "crops.global_size=48", start=whole / "checkpoint.pth")
    before, same, wide = state(whole), state(tmp_path / "same"), state(tmp_path / "wide")
    assert max(differences(before, same, "teacher").values()) == 0
    assert same["optimizer"]["state"][0]["step"] == 2
    expected = resize_position_table(before["teacher"]["backbone.pos_embed"], 3, "dino")
    assert torch.equal(wide["teacher"]["backbone.pos_embed"], expected)
    noted = json.loads((tmp_path / "same" / "recipe.json").read_text(encoding="utf-8"))["start"]
    assert noted == {"path": str(whole), "sha256": file_sha256(whole / "checkpoint.pth")}
    with pytest.raises(InputError, match="was begun with another start"):
        train(data, tmp_path / "same", *settings, resume=True)


def test_a_run_does_not_start_from_other_networks(whole, data, tmp_path):
    with pytest.raises(InputError, match=r"the student in .* has the shape .* for head.*: give the variant, method"):
        train(data, tmp_path / "run", "head.out_dim=128", start=whole)
    with pytest.raises(InputError, match=r"the student in .* has no entry mask_token"):
        train(data, tmp_path / "run2", "method=dinov2", start=whole)
    torch.save({"teacher": {}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="is no checkpoint of radiodino-train pretrain"):
        train(data, tmp_path / "run3", start=tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK nothing")
    with pytest.raises(WeightsError, match=r"cannot read .*broken\.pth"):
        train(data, tmp_path / "run4", start=tmp_path / "broken.pth")


STAGED = "stages=[{until: 0.5, global_size: 16, local_size: 16}]"


def test_a_run_of_growing_crops_learns_and_resumes_exactly(data, tmp_path):
    done = train(data, tmp_path / "whole", STAGED)
    train(data, tmp_path / "parts", STAGED, stop_after=2)
    assert train(data, tmp_path / "parts", STAGED, resume=True).steps == done.steps == 6
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    for part in ("student", "teacher"):
        assert max(differences(whole, parts, part).values()) == 0
    assert whole["teacher"]["backbone.pos_embed"].shape[1] == 5  # that of the last stage


def test_sources_are_balanced(tmp_path):
    random = np.random.default_rng(1)
    for name, count in (("few", 2), ("many", 14)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.fromarray(random.integers(0, 256, (40, 40), np.uint8)).save(tmp_path / name / f"{index}.png")
    drawn = []

    def noted(pixels, *rest):
        drawn.append(pixels.clone())
        return make_step_crops(pixels, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("radiodino.train.pretrain.training.make_step_crops", noted)
        inputs = [str(tmp_path / "few"), str(tmp_path / "many")]
        settings = recipe("balance=1", "epochs=1", "optimiser.warmup_epochs=0")
        pretrain(settings, inputs, tmp_path / "run", accelerator="cpu", cache=tmp_path / "cache")
    shown = torch.cat(drawn).flatten(1)
    different = torch.unique(shown, dim=0, return_counts=True)[1]
    assert sorted(different.tolist())[-2:] == [4, 4]  # half of 16 images are the two of "few"
    assert different.sum() == 16


def test_the_classic_crops_train_too(data, tmp_path):
    pytest.importorskip("torchvision")
    done = train(data, tmp_path / "run", "augment=classic", "epochs=1")
    assert done.steps == 2
    assert np.isfinite(done.loss)


def test_a_run_is_a_checkpoint_to_export(whole):
    backbone, source = load_weights(VARIANTS["toy"], str(whole))
    teacher = state(whole)["teacher"]
    for name, value in backbone.state_dict().items():
        if name != "pos_embed":  # resized from the training's 32 px to 224
            assert torch.equal(value, teacher[f"backbone.{name}"]), name
    assert "teacher" in source.detail


def test_a_folder_with_a_run_is_kept(whole, data):
    with pytest.raises(OutputError, match="--resume"):
        train(data, whole)
    with pytest.raises(InputError, match="begun with another recipe"):
        train(data, whole, "epochs=5", resume=True)


def test_fewer_images_than_a_batch_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="18 images are fewer than one batch of 64"):
        train(data, tmp_path / "run", "batch_size=64")


def test_waiting_for_data_is_measured(whole):
    with (whole / "log.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(0 <= float(row["waiting_share"]) <= 1 for row in rows)
    assert all(float(row["images_per_second"]) > 0 for row in rows)
