from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("yaml")

from radiodino.runtime.errors import InputError
from radiodino.train.schedule import learning_rates
from radiodino.train.segment.recipe import LITE, HeadRecipe, SegmentRecipe, ViewRecipe, resolve


def test_the_defaults_are_the_papers():
    recipe = resolve(["paper"])
    assert recipe == SegmentRecipe()
    assert recipe.image_size == 448
    paper = recipe.of("paper")
    assert (paper.epochs, paper.batch_size, paper.clip, paper.patience) == (30, 16, 1.0, 10)
    assert (paper.warmup_epochs, paper.warmup_learning_rate, paper.learning_rate) == (5, 5e-6, 1e-4)
    assert (paper.weight_decay, paper.cross_entropy) == (0.01, 0.0)
    assert recipe.of("lite") == LITE != paper


def test_the_learning_rate_is_flat_then_half_a_cosine():
    rates = learning_rates(HeadRecipe(), 4)
    assert len(rates) == 120
    assert (rates[:20] == 5e-6).all()
    assert rates[20] == 1e-4
    assert rates[70] == pytest.approx(5e-5)
    assert 0 < rates[-1] < 1e-6
    assert (np.diff(rates[20:]) < 0).all()
    assert (learning_rates(HeadRecipe(epochs=2, warmup_epochs=2), 3) == 5e-6).all()


def test_settings_stand_over_the_file_and_options_over_both(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("seed: 4\nlite:\n  epochs: 9\n  learning_rate: 1e-3\nviews:\n  count: 2\n")
    settings = ["paper.micro_batch=4", "views.zoom=2", "seed=5"]
    found = resolve(["lite"], config=path, settings=settings, batch_size=3, epochs=None, seed=6)
    assert found == SegmentRecipe(
        seed=6,
        views=ViewRecipe(count=2, zoom=2.0),
        paper=HeadRecipe(micro_batch=4),
        lite=HeadRecipe(**{**vars(LITE), "epochs": 9, "learning_rate": 1e-3, "batch_size": 3}),
    )


def test_a_heads_document_leaves_the_other_out():
    document = SegmentRecipe().document_of("lite")
    assert document["lite"]["epochs"] == 60
    assert document["views"]["count"] == 8
    assert "paper" not in document


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("epochs=3", "'epochs' is unknown"),
        ("lite.epoch=3", r"'lite\.epoch' is unknown"),
        ("unet.epochs=3", "'unet' is unknown"),
        ("lite.epochs=three", r"'lite\.epochs' is of the wrong type"),
        ("lite.epochs=1.5", r"'lite\.epochs' is of the wrong type"),
        ("lite.learning_rate=fast", "is of the wrong type"),
        ("lite.learning_rate=.nan", "learning_rate must lie between"),
        ("lite.epochs", "no setting"),
        ("lite.epochs=[", "no readable value"),
        ("lite=3", r"'lite\.' is no set of entries"),
        ("lite.epochs=0", "epochs must lie between 1"),
        ("views.count=-1", "count must lie between 0"),
        ("views.zoom=0.5", "zoom must lie between 1"),
        ("precision=16-mixed", "precision must be one of"),
        ("lite.warmup_epochs=99", "the warm-up of 99 epochs is longer than the training of 60"),
    ],
)
def test_what_is_unknown_ill_typed_or_out_of_range_is_refused(setting, reason):
    with pytest.raises(InputError, match=reason):
        resolve(["lite"], settings=[setting])


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("views: [")
    with pytest.raises(InputError, match="cannot read the recipe"):
        resolve(["lite"], config=tmp_path / "recipe.yaml")
