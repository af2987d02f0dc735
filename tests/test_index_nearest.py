from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError
from radiodino.runtime.index import nearest as module
from radiodino.runtime.index.nearest import Neighbours, lengths, nearest
from radiodino.runtime.index.votes import count_votes


def plain(queries, gallery, k):
    """All similarities in float64, in a stable order."""
    rows = gallery.astype(np.float64) / np.sqrt(np.square(gallery, dtype=np.float64).sum(axis=1))[:, None]
    found = []
    for query in queries.astype(np.float64):
        similarities = (rows * (query / np.sqrt(np.square(query).sum()))).sum(axis=1)
        found.append(np.argsort(-similarities, kind="stable")[:k])
    return np.array(found)


def with_copies(seed, size, dimension, kinds):
    """Few distinct rows, most of them several times and of several lengths, so that many are equally near."""
    random = np.random.default_rng(seed)
    distinct = random.standard_normal((kinds, dimension)).astype(np.float32)
    scales = np.float32(2.0) ** random.integers(-3, 4, size)
    return distinct[random.integers(0, kinds, size)] * scales[:, None].astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    size=st.integers(1, 90),
    dimension=st.integers(1, 20),
    kinds=st.integers(1, 90),
    queries=st.integers(1, 9),
    piece=st.integers(1, 40),
    data=st.data(),
)
def test_it_is_exact_and_ties_go_to_the_lower_index(seed, size, dimension, kinds, queries, piece, data):
    k = data.draw(st.integers(1, size))
    gallery = with_copies(seed, size, dimension, kinds)
    asked = np.concatenate([gallery[: queries // 2], with_copies(seed + 1, queries, dimension, queries)])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_GALLERY", piece)
        patched.setattr(module, "_QUERIES", 1 + piece // 2)
        patched.setattr(module, "_RANKED", piece)
        found = nearest(asked, gallery, lengths(gallery, "gallery"), k)
    np.testing.assert_array_equal(found.indices, plain(asked, gallery, k))
    assert (np.diff(found.similarities, axis=1) <= 0).all()
    assert np.abs(found.similarities).max() <= 1 + 1e-12


def test_neighbours_that_float32_cannot_tell_apart_are_ranked_in_float64():
    """Similarities 1 − 10⁻⁹·n: the same float32 for hundreds of rows, in the wrong order."""
    angle = np.sqrt(2e-9 * np.arange(500, 0, -1))
    gallery = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    found = nearest(np.array([[1, 0]], np.float32), gallery, lengths(gallery, "gallery"), 20)
    np.testing.assert_array_equal(found.indices, plain(np.array([[1, 0]], np.float32), gallery, 20))
    assert found.indices[0, 0] == 499


def test_the_copy_of_an_image_is_as_near_wherever_it_stands():
    row = np.random.default_rng(0).standard_normal((1, 192)).astype(np.float32)
    gallery = np.repeat(row, 20000, axis=0)  # several pieces
    found = nearest(row, gallery, lengths(gallery, "gallery"), 50)
    np.testing.assert_array_equal(found.indices[0], np.arange(50))
    assert len(set(found.similarities[0])) == 1


@pytest.mark.parametrize(
    ("queries", "k", "sentence"),
    [
        (np.ones((1, 4), np.float32), 1, "expected float32 embeddings"),
        (np.ones(3, np.float32), 1, "expected float32 embeddings"),
        (np.ones((1, 3)), 1, "found float64"),
        (np.zeros((1, 3), np.float32), 1, "has the length 0"),
        (np.full((1, 3), np.nan, np.float32), 1, "has the length nan"),
        (np.full((1, 3), np.inf, np.float32), 1, "has the length inf"),
        (np.full((1, 3), 1e20, np.float32), 1, "has the length 1.7"),
        (np.ones((1, 3), np.float32), 0, "k must lie from 1 to the 5"),
        (np.ones((1, 3), np.float32), 6, "k must lie from 1 to the 5"),
    ],
)
def test_errors(queries, k, sentence):
    gallery = np.ones((5, 3), np.float32)
    with pytest.raises(InputError, match=sentence):
        nearest(queries, gallery, lengths(gallery, "gallery"), k)


def test_no_queries_are_answered_by_nothing():
    gallery = np.ones((5, 3), np.float32)
    found = nearest(np.empty((0, 3), np.float32), gallery, lengths(gallery, "gallery"), 2)
    assert found.indices.shape == found.similarities.shape == (0, 2)


def test_votes_by_hand():
    found = Neighbours(np.array([[3, 0, 1, 2]]), np.array([[0.9, 0.83, 0.83, 0.83]]))
    votes = count_votes(found, np.array([2, 2, 2, 1]), (1, 2, 4), 3)
    own = np.exp(-1)
    assert [votes.predictions[k][0] for k in (1, 2, 4)] == [1, 1, 2]
    np.testing.assert_allclose(votes.scores[4][0], [0, 1 / (1 + 3 * own), 3 * own / (1 + 3 * own)], rtol=1e-6)


def test_equal_votes_go_to_the_lower_class():
    found = Neighbours(np.array([[0, 1]]), np.array([[0.5, 0.5]]))
    assert count_votes(found, np.array([2, 1]), (2,), 3).predictions[2][0] == 1
