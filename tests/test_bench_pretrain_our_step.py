from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs
from radiodino.runtime.variants import VARIANTS

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("lightning_fabric")

from radiodino.benchmarks.our_step import OurStep  # noqa: E402
from radiodino.train.data.image_cache import open_cache  # noqa: E402
from radiodino.train.pretrain.loop import pretrain  # noqa: E402
from radiodino.train.pretrain.recipe import HeadRecipe, OptimiserRecipe, Recipe  # noqa: E402
from radiodino.train.ssl.crop_settings import CropSettings  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def recipe(monkeypatch, toy) -> Recipe:
    monkeypatch.setitem(VARIANTS, "toy", toy)
    return Recipe(
        variant="toy",
        epochs=3,
        batch_size=4,
        precision="32-true",
        cache_size=40,
        crops=CropSettings(global_size=32, local_size=16, local_count=2),
        head=HeadRecipe(out_dim=64, hidden_dim=32, bottleneck_dim=16),
        optimiser=OptimiserRecipe(warmup_epochs=0),  # so that the first step moves the weights
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "images"
    place.mkdir()
    random = np.random.default_rng(0)
    for index in range(9):
        Image.fromarray(random.integers(0, 256, (50, 45), np.uint8)).save(place / f"{index}.png")
    return place


@pytest.mark.parametrize("settings", [{}, {"balance": 0.5, "precision": "bf16-mixed"}, {"method": "dinov2"}], ids=str)
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_of_a_run(recipe, folder, tmp_path, settings, steps):
    """Bit for bit, stochastic depth included; three steps reach into the second epoch."""
    recipe = replace(recipe, **settings)
    cache = tmp_path / "cache"
    done = pretrain(recipe, [str(folder)], tmp_path / "run", accelerator="cpu", cache=cache, stop_after=steps)
    expected = torch.load(done.checkpoint, weights_only=True)

    step = OurStep(recipe, open_cache(list_inputs([folder]), cache, 40), CPU)
    begun = {name: value.clone() for name, value in step.student.state_dict().items()}
    waited = [step() for _ in range(steps)]
    assert step.step == expected["step"] == steps
    assert step.loss == done.loss
    assert all(seconds > 0 for seconds in waited)
    for part, network in (("student", step.student), ("teacher", step.teacher)):
        found = network.state_dict()
        assert found.keys() == expected[part].keys()
        assert all(torch.equal(found[name], value) for name, value in expected[part].items())
    assert all(torch.equal(step.method.centres[name], value) for name, value in expected["centres"].items())
    assert any(not torch.equal(step.student.state_dict()[name], value) for name, value in begun.items())


def test_fewer_images_than_a_batch_are_refused(recipe, folder, tmp_path):
    images = open_cache(list_inputs([folder]), tmp_path / "cache", 40)
    with pytest.raises(InputError, match="9 images are fewer than one batch of 10"):
        OurStep(replace(recipe, batch_size=10), images, CPU)
