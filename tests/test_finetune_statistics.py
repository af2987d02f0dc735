from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")
pytest.importorskip("yaml")

from scipy import stats

from radiodino.runtime.errors import InputError
from radiodino.train.classify.calibration import BOUNDS, best_temperature, log_loss, probabilities
from radiodino.train.classify.summary import summarise, table
from radiodino.train.classify.t_test import one_sample_t_test, parse_references
from radiodino.train.classify.threshold import youden_threshold

# --- t-test


def test_the_t_test_by_hand():
    # mean 4, squared deviations 4 + 0 + 4, sd 2, t = (4 - 3) / (2 / √3); for 2 degrees of freedom the two-sided
    # p has the closed form 1 - t / √(t² + 2).
    found = one_sample_t_test([2, 4, 6], 3)
    t = math.sqrt(3) / 2
    assert (found.mean, found.df, found.reference) == (4, 2, 3)
    assert found.t == pytest.approx(t, rel=1e-12)
    assert found.p == pytest.approx(1 - t / math.sqrt(t**2 + 2), rel=1e-12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9).filter(lambda v: np.std(v) > 1e-6), st.floats(0, 1))
def test_the_t_test_is_scipys_and_two_sided(values, reference):
    found = one_sample_t_test(values, reference)
    t = (statistics.fmean(values) - reference) / (statistics.stdev(values) / math.sqrt(len(values)))
    assert found.t == pytest.approx(t, rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), len(values) - 1), rel=1e-5, abs=1e-12)
    assert found.t == stats.ttest_1samp(values, reference).statistic
    assert found.p == stats.ttest_1samp(values, reference).pvalue


def test_equal_values_leave_it_undefined():
    found = one_sample_t_test([0.9, 0.9, 0.9], 0.8)
    assert (found.t, found.p) == (None, None)


def test_one_value_is_refused():
    with pytest.raises(InputError, match=r"at least 2 folds, found 1"):
        one_sample_t_test([0.9], 0.8)


def test_references_are_read():
    assert parse_references(["accuracy=0.897", "auc=0.938"]) == {"accuracy": 0.897, "auc": 0.938}


@pytest.mark.parametrize("text", ["accuracy", "accuracy=", "accuracy=89.7", "f2=0.5", "auc=nan", "=0.5", "auc=-0.1"])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(InputError, match=f"'{text}' is no reference: give METRIC=FRACTION"):
        parse_references([text])


# --- temperature


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.floats(0.2, 6), st.integers(0, 2**31), st.integers(2, 5))
def test_the_temperature_that_made_the_labels_is_found_again(temperature, seed, classes):
    random = np.random.default_rng(seed)
    calibrated = random.normal(0, 1.5, (3000, classes))
    targets = np.array([random.choice(classes, p=row) for row in probabilities(calibrated)])
    found = best_temperature((calibrated * temperature).astype(np.float32), targets)
    assert found == pytest.approx(temperature, rel=0.15)


def test_no_other_temperature_has_a_lower_loss():
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (50, 3)).astype(np.float32)
    targets = random.integers(0, 3, 50)
    found = best_temperature(logits, targets)
    least = log_loss(logits, targets, found)
    assert all(least <= log_loss(logits, targets, t) + 1e-9 for t in np.geomspace(*BOUNDS, 300))


def test_images_that_are_all_right_end_at_the_bound():
    assert best_temperature(np.array([[2, 0], [0, 2]], np.float32), np.array([0, 1])) == pytest.approx(0.05)


def test_probabilities_of_large_logits_are_finite():
    logits = np.array([[1e4, -1e4, 0.0]])
    assert probabilities(logits, 0.05).tolist() == [[1, 0, 0]]
    assert log_loss(logits, np.array([1]), 0.05) == pytest.approx(4e5)


@given(st.integers(0, 2**31), st.floats(0.1, 9))
def test_the_loss_is_that_of_the_probabilities(seed, temperature):
    random = np.random.default_rng(seed)
    logits, targets = random.normal(0, 2, (7, 3)), random.integers(0, 3, 7)
    own = probabilities(logits, temperature)[np.arange(7), targets]
    assert log_loss(logits, targets, temperature) == pytest.approx(-np.log(own).mean(), rel=1e-9)


# --- threshold


def youden(scores, positive, threshold):
    called = scores >= threshold
    return called[positive].mean() - called[~positive].mean()


def test_separate_classes_are_cut_half_way():
    found = youden_threshold(np.array([0.1, 0.9, 0.2, 0.7]), np.array([False, True, False, True]))
    assert found == pytest.approx(0.45)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=30).filter(
        lambda pairs: len({positive for _, positive in pairs}) == 2
    )
)
def test_no_threshold_has_a_larger_j(pairs):
    scores, positive = np.array([score for score, _ in pairs]), np.array([value for _, value in pairs])
    found = youden_threshold(scores, positive)
    assert 0 <= found <= 1
    levels = np.unique(scores)
    middles = np.concatenate([levels / 2, (levels[1:] + levels[:-1]) / 2, levels, [0.0, 1.1]])
    best = max(youden(scores, positive, t) for t in middles)
    # A half-way point that float64 cannot tell from the level below it calls that level too.
    if len(levels) == 1 or np.diff(levels).min() > 1e-300:
        assert youden(scores, positive, found) == pytest.approx(best, abs=1e-12)


# --- summary


def document(fold, val_loss, auc=0.9, **metrics):
    found = {"accuracy": 0.8, "precision": 0.8, "recall": 0.8, "f1": 0.8, "auc": auc} | metrics
    return {"fold": fold, "epochs": 12, "best_epoch": 2, "val_loss": val_loss, "metrics": found}


def test_folds_are_summarised_with_n_minus_1():
    results = summarise(
        [document(1, 0.5, accuracy=0.7), document(2, 0.4, accuracy=0.8), document(3, 0.6, accuracy=0.9)],
        {"accuracy": 0.5},
    )
    assert results["metrics"]["accuracy"] == {"mean": pytest.approx(0.8), "sd": pytest.approx(0.1)}
    assert results["best_fold"] == 2
    assert [row["accuracy"] for row in results["folds"]] == [0.7, 0.8, 0.9]
    assert results["t_tests"]["accuracy"]["t"] == pytest.approx(0.3 / (0.1 / math.sqrt(3)))
    text = table(results)
    assert "80.00 ± 10.00" in text
    assert "not independent" in text


def test_one_fold_has_no_deviation_and_no_class_no_auc():
    results = summarise([document(1, 0.5, auc=None)], {})
    assert results["metrics"]["accuracy"] == {"mean": 0.8, "sd": None}
    assert results["metrics"]["auc"] is None
    assert "undefined" in table(results)
    assert "±" not in table(results).splitlines()[-1].replace("mean ± sd", "")
