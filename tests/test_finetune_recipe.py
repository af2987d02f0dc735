from __future__ import annotations

import json

import pytest

pytest.importorskip("yaml")

from radiodino.runtime.errors import InputError
from radiodino.train.classify.recipe import Recipe, load_recipe, preset, set_entries
from radiodino.train.settings import as_document, changed_settings


def test_the_defaults_are_the_papers():
    recipe = preset("small")
    assert (recipe.variant, recipe.image_size, recipe.augment, recipe.folds) == ("small", 224, "autoaugment", 5)
    assert (recipe.warmup_epochs, recipe.warmup_learning_rate, recipe.learning_rate) == (5, 5e-6, 1e-4)
    assert (recipe.epochs, recipe.patience, recipe.batch_size) == (30, 10, 256)
    assert (recipe.weight_decay, recipe.clip, recipe.precision) == (0.01, 1.0, "bf16-mixed")
    assert not recipe.freeze_backbone


def test_a_linear_probe_sees_no_augmentation():
    recipe = preset("tiny", freeze_backbone=True)
    assert (recipe.freeze_backbone, recipe.augment) == (True, "none")
    with pytest.raises(InputError, match=r"without augmentation, but augment is 'autoaugment'.*--freeze-backbone"):
        set_entries(preset("tiny"), ["freeze_backbone=true"])
    assert set_entries(preset("tiny"), ["freeze_backbone=true", "augment=none"]).freeze_backbone


def test_a_file_and_settings_change_what_they_name(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("learning_rate: 3e-5\nfolds: 3\n")
    recipe = set_entries(load_recipe(path, preset("tiny")), ["folds=4", "seed=7"])
    assert (recipe.learning_rate, recipe.folds, recipe.seed, recipe.epochs) == (3e-5, 4, 7, 30)


@pytest.mark.parametrize("order", [("epochs=3", "warmup_epochs=1"), ("warmup_epochs=1", "epochs=3")])
def test_settings_are_judged_together(order):
    assert set_entries(preset("tiny"), list(order)).epochs == 3


def test_a_recipe_is_plain_and_round_trips():
    recipe = preset("base", freeze_backbone=True)
    document = json.loads(json.dumps(as_document(recipe)))
    assert changed_settings(Recipe(), document, "document", hint="") == recipe


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("epoch=3", "--set epoch=3: entry 'epoch' is unknown; see radiodino-train finetune --show"),
        ("epochs=three", "--set: entry 'epochs' is of the wrong type"),
        ("epochs=3.5", "'epochs' is of the wrong type"),
        ("freeze_backbone=1", "'freeze_backbone' is of the wrong type"),
        ("learning_rate=[", "'learning_rate=\\[' has no readable value"),
        ("learning_rate=fast", "'learning_rate' is of the wrong type"),
        ("epochs", "'epochs' is no setting: give name=value"),
        ("=3", "'=3' is no setting"),
        ("epochs.first=3", "'epochs' is of the wrong type"),
        ("epochs=4", "warmup_epochs must be fewer than the 4 epochs, found 5"),
        ("folds=0", "folds must lie between 1"),
        ("patience=0", "patience must lie between 1"),
        ("batch_size=0", "batch_size must lie between 1"),
        ("learning_rate=-1", "learning_rate must lie between 0"),
        ("clip=-1", "clip must lie between 0"),
        ("seed=-1", "seed must lie between 0"),
        ("augment=mixup", "augment must be one of autoaugment, none, not 'mixup'"),
        ("precision=16-mixed", "precision must be one of"),
        ("image_size=225", "image size 225 is not a multiple of the patch"),
        ("variant=huge", "there is no variant 'huge'"),
    ],
)
def test_what_is_unknown_ill_typed_or_senseless_is_refused(setting, reason):
    with pytest.raises(InputError, match=reason):
        set_entries(preset("tiny"), [setting])


@pytest.mark.parametrize("text", ["- 1\n", "epochs: [", "\x00", "epoch: 3"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        load_recipe(path, Recipe())
    with pytest.raises(InputError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml", Recipe())
