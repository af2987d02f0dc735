from __future__ import annotations

import re

import pytest

pytest.importorskip("yaml")
pytest.importorskip("torch")

from radiodino.runtime.errors import InputError
from radiodino.train.pretrain.recipe import Recipe, as_document, changed, load_recipe, preset, set_entries


@pytest.mark.parametrize(
    ("variant", "batch", "local"),
    [("tiny", 512, 96), ("small", 256, 96), ("base", 128, 96), ("tiny-sp", 170, 96), ("dinov2-small", 128, 98)],
)
def test_presets_are_the_papers(variant, batch, local):
    recipe = preset("dino", variant)
    assert (recipe.batch_size, recipe.epochs, recipe.optimiser.learning_rate) == (batch, 200, 3e-4)
    assert recipe.crops.local_size == local
    assert recipe.peak_learning_rate == pytest.approx(3e-4 * batch / 256)


def test_dinov2_differs_where_its_configuration_does():
    recipe = preset("dinov2", "dinov2-small")
    assert recipe.crops.global_scale == (0.32, 1.0)
    assert recipe.teacher.momentum == 0.992
    assert recipe.peak_learning_rate == pytest.approx(3e-4 * (128 / 1024) ** 0.5)


def test_a_file_and_settings_change_what_they_name(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("epochs: 3\nteacher:\n  temperature: 7e-2\ncrops:\n  local_scale: [0.1, 0.3]\n")
    recipe = load_recipe(path, preset("dino", "tiny"))
    assert (recipe.epochs, recipe.teacher.temperature, recipe.crops.local_scale) == (3, 0.07, (0.1, 0.3))
    assert recipe.teacher.momentum == 0.996
    recipe = set_entries(recipe, ["optimiser.learning_rate=1e-4", "compile=true", "head.out_dim=4096"])
    assert (recipe.optimiser.learning_rate, recipe.compile, recipe.head.out_dim) == (1e-4, True, 4096)


def test_a_recipe_round_trips():
    recipe = preset("dinov2", "small")
    assert changed(Recipe(), as_document(recipe), "document") == recipe


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("epoch=3", "'epoch' is unknown"),
        ("teacher.temp=0.1", "'teacher.temp' is unknown"),
        ("teacher=3", "is no set of entries"),
        ("epochs=three", "'epochs' is of the wrong type"),
        ("epochs=1.5", "'epochs' is of the wrong type"),
        ("compile=3", "'compile' is of the wrong type"),
        ("optimiser.learning_rate=fast", "'optimiser.learning_rate' is of the wrong type"),
        ("crops.global_scale=[0.4]", "'crops.global_scale' is of the wrong type"),
        ("epochs", "no setting"),
        ("=3", "no setting"),
        ("epochs=0", "epochs must lie between 1"),
        ("method=byol", "method must be one of dino, dinov2"),
        ("optimiser.scaling=cubic", "optimiser.scaling must be one of"),
        ("crops.local_size=97", "97"),
    ],
)
def test_what_is_unknown_or_ill_typed_is_refused(setting, reason):
    with pytest.raises(InputError, match=reason.replace("[", r"\[")):
        set_entries(preset("dino", "tiny"), [setting])


@pytest.mark.parametrize("text", ["- 1\n", "epochs: [", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError):
        load_recipe(path, Recipe())
    with pytest.raises(InputError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml", Recipe())


STAGES = "stages=[{until: 0.5, global_size: 64, local_size: 32}, {until: 0.75, global_size: 96, local_size: 48}]"


def test_stages_come_one_after_the_other():
    recipe = set_entries(preset("dino", "tiny"), [STAGES])
    sizes = [
        (crops.global_size, crops.local_size)
        for crops in (recipe.crops_at(progress) for progress in (0, 0.49, 0.5, 0.74, 0.75, 0.99))
    ]
    assert sizes == [(64, 32)] * 2 + [(96, 48)] * 2 + [(224, 96)] * 2
    assert recipe.crops_at(0).global_scale == recipe.crops.global_scale
    assert changed(preset("dino", "tiny"), as_document(recipe), "again") == recipe


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stages=[{until: 0.5, global_size: 60, local_size: 32}]", "global_size 60 is not a multiple of the patch"),
        ("stages=[{until: 1, global_size: 64, local_size: 32}]", "must end one after the other, between 0 and 1"),
        ("stages=[{until: 0, global_size: 64, local_size: 32}]", "must end one after the other, between 0 and 1"),
        (STAGES.replace("0.75", "0.5"), "must end one after the other"),
        ("stages=[{until: 0.5, global_size: 64}]", "'stages.local_size' is missing"),
        ("stages=64", "'stages' is of the wrong type"),
        ("balance=1.5", "balance must lie between 0 and 1"),
    ],
)
def test_impossible_stages_are_refused(setting, message):
    with pytest.raises(InputError, match=re.escape(message)):
        set_entries(preset("dino", "tiny"), [setting])
