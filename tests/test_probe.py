from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from radiodino.runtime.errors import InputError
from radiodino.train.cli import main
from radiodino.train.probe import logistic
from radiodino.train.probe.logistic import Fold, fit_probe
from radiodino.train.probe.table import probe_table


def fold(count, seed, noise=1.0, classes=3, size=8):
    """Features around one centre for each class."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(size=(classes, size))
    features = centres[targets] + noise * random.normal(size=(count, size))
    return Fold(features.astype(np.float32), targets.astype(np.int64))


EMPTY = Fold(np.empty((0, 8), np.float32), np.empty(0, np.int64))


def by_hand(train, test, c):
    """scikit-learn on features standardised by hand."""
    mean, deviation = (getattr(train.features.astype(np.float64), name)(axis=0) for name in ("mean", "std"))
    model = LogisticRegression(C=c, max_iter=5000).fit((train.features - mean) / deviation, train.targets)
    return model.predict((test.features - mean) / deviation)


def test_it_is_logistic_regression_on_standardised_features():
    train, test = fold(60, 1), fold(60, 2)
    found = fit_probe(train, EMPTY, test, grid=[0.1])
    assert found.predictions.tolist() == by_hand(train, test, 0.1).tolist()
    assert found.metrics["f1"] == pytest.approx(f1_score(test.targets, found.predictions, average="macro"))
    assert (found.c, found.validation_f1, found.converged) == (0.1, None, True)
    assert set(found.metrics) == {"accuracy", "precision", "recall", "f1"}


def test_units_of_features_do_not_matter():
    train, validation, test = fold(60, 1), fold(30, 3), fold(60, 2)
    units = np.array([1, 1e3, 1e-3, 5, 1, 1, 1, 1], np.float32)

    def scaled(one):
        return Fold(one.features * units + 7, one.targets)

    plain, other = fit_probe(train, validation, test), fit_probe(scaled(train), scaled(validation), scaled(test))
    assert plain.c == other.c
    assert plain.predictions.tolist() == other.predictions.tolist()


def test_the_penalty_is_chosen_on_the_validation_images_alone():
    train, validation, test = fold(40, 1, noise=3), fold(200, 3, noise=3), fold(60, 2, noise=3)
    grid = (1e-4, 1e-2, 1.0)
    f1 = {c: f1_score(validation.targets, by_hand(train, validation, c), average="macro") for c in grid}
    assert len(set(f1.values())) > 1
    found = fit_probe(train, validation, test, grid=grid)
    assert found.c == max(grid, key=lambda c: f1[c])
    assert found.validation_f1 == pytest.approx(max(f1.values()))
    assert found.predictions.tolist() == by_hand(train, test, found.c).tolist()  # not fitted again with them


def test_of_equal_penalties_the_strongest_is_taken():
    train = fold(60, 1, noise=0.01)
    found = fit_probe(train, fold(30, 3, noise=0.01), fold(30, 2, noise=0.01), grid=(10, 1e-2, 1))
    assert (found.c, found.validation_f1) == (1e-2, 1.0)


def test_a_solver_that_does_not_converge_is_said(monkeypatch):
    monkeypatch.setattr(logistic, "_ITERATIONS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_probe(fold(60, 1), EMPTY, fold(60, 2), grid=[10.0])
    assert not found.converged
    row = {"model": "m", "image_size": 56, "c": 10.0, "converged": False, "accuracy": 0.5, "precision": 0.5,
           "recall": 0.5, "f1": 0.5}  # fmt: skip
    table = probe_table([row], [{"model": "m", "sizes": [56], **{name: row[name] for name in list(row)[4:]}}])
    assert "10 (not converged)" in table


@pytest.mark.parametrize(
    ("train", "validation", "test", "grid", "sentence"),
    [
        (EMPTY, fold(9, 1), fold(9, 2), [1, 2], "no images in the split 'train'"),
        (fold(9, 0), fold(9, 1), EMPTY, [1], "no images in the split 'test'"),
        (fold(9, 0), EMPTY, fold(9, 2), [1, 2], "no images in the split 'val': .* one value with --c"),
        (fold(9, 0, classes=1), fold(9, 1), fold(9, 2), [1], "all training images are of one class"),
        (fold(9, 0), fold(9, 1), fold(9, 2), [0, 1], "C must be a number above 0, found 0, 1"),
        (fold(9, 0), fold(9, 1), fold(9, 2), [np.nan], "C must be a number above 0, found nan"),
        (fold(9, 0), fold(9, 1), fold(9, 2), [], "C must be a number above 0, found none"),
    ],
)
def test_what_cannot_be_fitted_is_refused(train, validation, test, grid, sentence):
    with pytest.raises(InputError, match=sentence):
        fit_probe(train, validation, test, grid=grid)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for label, low in {"dark": 0, "light": 180}.items():
        (place / label).mkdir()
        for index in range(20):
            pixels = random.integers(low, low + 60, (20, 20)).astype(np.uint8)
            Image.fromarray(pixels).save(place / label / f"{index}.png")
    return place


def test_the_command_gives_each_size_and_their_mean(command, folder, tmp_path):
    ended = command(
        main, "probe", "--data", folder, "--weights", "random", "--sizes", "32,24", "--out", tmp_path / "out",
        "--accelerator", "cpu", "--features-out", tmp_path / "f.npz",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    document = json.loads((tmp_path / "out" / "probe.json").read_text())
    rows, means = document["results"]["rows"], document["results"]["means"]
    assert [row["image_size"] for row in rows] == [32, 24]
    assert [row["accuracy"] for row in rows] == [1.0, 1.0]
    assert rows[1]["source"]["preprocessing"]["cut_to_first"] == [16, 16]
    assert means == [
        {"model": "tiny random", "sizes": [32, 24]} | dict.fromkeys(("accuracy", "precision", "recall", "f1"), 1.0)
    ]
    assert document["settings"]["sizes"] == [32, 24]
    assert document["data"]["per_split_and_class"]["val"] == {"dark": 2, "light": 2}
    table = (tmp_path / "out" / "probe.md").read_text()
    assert table.strip() in ended.out
    assert [line.split("|")[2].strip() for line in table.splitlines()] == ["size", "-" * 7, "32 px", "24 px", "mean"]
    with np.load(tmp_path / "f.npz") as kept:
        assert kept["embeddings_32"].shape == kept["embeddings_24"].shape == (40, 192)
        assert set(kept["splits"].tolist()) == {"train", "val", "test"}


def test_means_are_of_each_models_own_rows(command, folder, toy_fp32, tmp_path):
    ended = command(
        main, "probe", "--data", folder, "--weights", toy_fp32, "--weights", "timm:resnet10t", "--sizes", 64,
        "--out", tmp_path, "--accelerator", "cpu", "--c", "0.01",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    results = json.loads((tmp_path / "probe.json").read_text())["results"]
    for row, mean in zip(results["rows"], results["means"], strict=True):
        assert row["model"] == mean["model"]
        assert row["f1"] == mean["f1"]
    assert results["rows"][0]["source"]["kind"] == "exported"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "pixels:8", "--sizes", "8,16"], "pixels:8 takes images of 8 px alone and 16 px were asked for"),
        (["--weights", "random", "--sizes", "8"], "image size 8 is not a multiple of the patch"),
        (["--weights", "random", "--sizes", "0"], "--sizes must be at least 1 px each"),
        (["--weights", "random", "--sizes", "x"], "--sizes takes whole numbers"),
        (["--weights", "random", "--c", "x"], "--c takes numbers"),
        (["--weights", "random", "--c", "-1", "--sizes", "16"], "C must be a number above 0"),
        (["--weights", "a", "--weights", "b", "--features-out", "f.npz"], "--features-out keeps the features of one"),
        (["--weights", "random", "--sizes", "16", "--fractions", "0.8,0,0.2"], "no images in the split 'val'"),
    ],
)
def test_the_commands_errors_are_one_sentence(refused, folder, here, arguments, sentence):
    assert sentence in refused(
        main, "probe", "--data", folder, "--out", here / "out", "--accelerator", "cpu", *arguments
    )  # fmt: skip


def test_an_exported_file_is_refused_other_sizes_before_anything_is_computed(refused, folder, toy_fp32, here):
    sentence = refused(
        main, "probe", "--data", folder, "--weights", "no/such/run", "--weights", toy_fp32, "--out", here / "out"
    )
    assert "takes images of 64 px alone and 448 px were asked for: ask for 64 px" in sentence


def test_an_interrupt_ends_cleanly(command, folder, tmp_path, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("radiodino.train.probe.run.extract_features", interrupted)
    ended = command(main, "probe", "--data", folder, "--weights", "pixels:8", "--sizes", 8, "--out", tmp_path)
    assert ended.status == 130
    assert "error: interrupted" in ended.err
    assert not (tmp_path / "probe.json").exists()
