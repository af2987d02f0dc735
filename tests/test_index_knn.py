"""The index answers as the training's evaluation does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from radiodino.runtime.index.nearest import lengths, nearest  # noqa: E402
from radiodino.runtime.index.votes import TEMPERATURE, count_votes  # noqa: E402
from radiodino.train.knn import classify  # noqa: E402

KS = (1, 5, 20)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    size=st.integers(20, 120),
    kinds=st.integers(2, 120),
    dimension=st.sampled_from([2, 7, 48, 192]),
    classes=st.integers(2, 5),
    noise=st.sampled_from([1.0, 0.05]),
)
def test_the_same_predictions_and_shares(seed, size, kinds, dimension, classes, noise):
    """Random features with copies, whose labels differ, and power-of-two multiples of them, so that there are ties."""
    random = np.random.default_rng(seed)
    distinct = (1 + noise * random.standard_normal((kinds, dimension))).astype(np.float32)
    scales = (2.0 ** random.integers(-2, 3, size)).astype(np.float32)
    gallery = distinct[random.integers(0, kinds, size)] * scales[:, None]
    queries = np.concatenate([gallery[:5], (1 + noise * random.standard_normal((8, dimension))).astype(np.float32)])
    labels = random.integers(0, classes, size)
    found = count_votes(nearest(queries, gallery, lengths(gallery, "gallery"), max(KS)), labels, KS, classes)
    expected = classify.knn_classify(
        torch.from_numpy(gallery), torch.from_numpy(labels), torch.from_numpy(queries), KS, classes=classes
    )
    for k in KS:
        np.testing.assert_array_equal(found.predictions[k], expected.predictions[k].numpy())
        np.testing.assert_allclose(found.scores[k], expected.scores[k].numpy(), rtol=0, atol=1e-6)
        assert found.scores[k].dtype == np.float32


def test_the_temperatures_are_one():
    assert TEMPERATURE == classify.TEMPERATURE
