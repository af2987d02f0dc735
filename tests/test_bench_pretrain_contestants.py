from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import VARIANTS

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("torchvision")
pytest.importorskip("lightning_fabric")

from radiodino.benchmarks import contestants  # noqa: E402
from radiodino.benchmarks.contest import COMPILED, NAMES, OFFICIAL, OFFICIAL_ALONE, OURS, Job  # noqa: E402
from radiodino.benchmarks.contestant_process import ContestantProcess, MeasurementError, measure  # noqa: E402
from radiodino.benchmarks.contestants import CONTESTANTS, pick_device  # noqa: E402
from radiodino.train.pretrain.recipe import HeadRecipe, Recipe  # noqa: E402
from radiodino.train.ssl.crop_settings import CropSettings  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def job(tmp_path, monkeypatch, toy) -> Job:
    monkeypatch.setitem(VARIANTS, "toy", toy)
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(random.integers(0, 256, (50, 45), np.uint8)).save(folder / f"{index}.png")
    recipe = Recipe(
        variant="toy",
        batch_size=2,
        precision="32-true",
        cache_size=40,
        crops=CropSettings(global_size=32, local_size=16, local_count=2),
        head=HeadRecipe(out_dim=64, hidden_dim=32, bottleneck_dim=16),
    )
    return Job(
        recipe=recipe,
        images=folder,
        cache=tmp_path / "cache",
        accelerator="cpu",
        threads=1,
        workers=1,
        official_precision="32-true",
    )


def test_every_name_has_a_contestant():
    assert tuple(CONTESTANTS) == NAMES


@pytest.mark.parametrize("name", [OFFICIAL, OFFICIAL_ALONE, OURS])
def test_a_contestant_learns_and_is_measured(job, name):
    contestant = CONTESTANTS[name](job)
    first = measure(contestant, 2, steps=1)
    second = measure(contestant, 2, steps=3)
    assert (first.images, second.images) == (2, 6)
    assert 0 <= second.waited < second.seconds
    assert (second.waited == 0) == (name == OFFICIAL_ALONE)
    assert np.isfinite(second.loss)
    assert second.loss != first.loss
    assert contestant.device == CPU
    if Path("/proc/self/status").exists():
        assert 50 < first.peak_mib <= second.peak_mib


def test_the_last_layer_learns_in_all(job):
    """So all begin in the second epoch."""
    for name in (OFFICIAL, OFFICIAL_ALONE, OURS):
        contestant = CONTESTANTS[name](job)
        contestant.start()
        contestant.step()
        contestant.stop()
        last = dict(contestant._step.student.named_parameters())
        assert any(value.grad is not None for key, value in last.items() if "last_layer" in key), name


def test_ours_is_compiled_where_it_says_so(job, monkeypatch):
    assert not CONTESTANTS[OURS](job)._step.recipe.compile
    monkeypatch.setattr(contestants, "Ours", lambda asked: asked)  # building it imports the compiler for seconds
    assert CONTESTANTS[COMPILED](job) == replace(job, recipe=replace(job.recipe, compile=True))


def test_a_round_covers_whole_bursts_of_the_workers_and_then_they_end(job):
    contestant = CONTESTANTS[OFFICIAL](replace(job, workers=3))
    contestant._job = job  # one worker is enough to see it
    taken = []
    step = contestant.step
    contestant.step = lambda: taken.append(1) or step()
    assert measure(contestant, 2, steps=4).images == 2 * 6
    assert len(taken) == 3 + 6  # a burst settles
    assert list(contestant._batches) == []


def test_the_official_precision_and_attention_are_passed_on(job):
    contestant = CONTESTANTS[OFFICIAL_ALONE](replace(job, official_precision="bf16-mixed", fused_attention=True))
    assert contestant._step.type == torch.bfloat16
    assert all(block.attn.fused_attn for block in contestant._step.student.backbone.blocks)
    assert not any(b.attn.fused_attn for b in CONTESTANTS[OFFICIAL_ALONE](job)._step.student.backbone.blocks)


def test_devices():
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="accelerator must be auto, cpu or cuda, not 'tpu'"):
        pick_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_refused():
    with pytest.raises(InputError, match="finds no CUDA device: use --accelerator cpu"):
        pick_device("cuda")


@pytest.fixture
def process(job):
    """The processes do not know the toy."""
    started = []

    def start(**changes):
        recipe = replace(job.recipe, variant="tiny", crops=CropSettings(global_size=16, local_size=16, local_count=1))
        started.append(ContestantProcess(OFFICIAL_ALONE, replace(job, recipe=recipe, **changes)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_contestant_in_a_process(process):
    contestant = process()
    assert contestant.ready()
    assert contestant.round(2).images == 4
    contestant.close()
    assert contestant._process.exitcode == 0


def test_an_error_in_a_process_is_raised_here(process):
    with pytest.raises(InputError, match="precision must be one of"):
        process(official_precision="8-true").ready()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_process_that_dies_is_named(process):
    contestant = process()
    os.kill(contestant._process.pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match="'official style, step alone' ended with status -9"):
        contestant.ready()
