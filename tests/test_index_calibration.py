from __future__ import annotations

import numpy as np
import pytest

from radiodino.runtime.index.calibration import LEAST, NEIGHBOURS, calibrate
from radiodino.runtime.index.nearest import lengths, nearest
from radiodino.runtime.index.unlikeness import measure, ordinal


def rows(seed, count, dimension=6):
    return (1 + 0.3 * np.random.default_rng(seed).standard_normal((count, dimension))).astype(np.float32)


def plain(embeddings, files, neighbours):
    """Leave-one-file-out distances, copies aside."""
    unit = embeddings.astype(np.float64) / np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    found = []
    for row, own in enumerate(unit):
        similarities = (unit * own).sum(axis=1)
        kept = np.sort(similarities[(files != files[row]) & (similarities <= 1 - 1e-6)])[::-1]
        if len(kept) >= neighbours:
            found.append(1 - kept[:neighbours].mean())
    return np.sort(found)


@pytest.mark.parametrize("neighbours", [1, 5])
def test_the_distances_are_those_of_the_others(neighbours):
    embeddings = rows(0, 60)
    embeddings[7] = embeddings[3] * 2  # a copy in another file
    files = np.arange(60)
    files[20:25] = 20  # frames of one file
    found, distances = calibrate(embeddings, lengths(embeddings, ""), files, neighbours=neighbours, percentile=90)
    expected = plain(embeddings, files, neighbours)
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    assert found.threshold == np.percentile(distances, 90, method="higher")
    assert (found.measured, found.copies, found.sampled) == (60, 2, False)


def test_copies_alone_give_no_threshold():
    embeddings = np.repeat(rows(1, 1), 50, axis=0)
    found, distances = calibrate(embeddings, lengths(embeddings, ""), np.arange(50))
    assert found is None
    assert not len(distances)


@pytest.mark.parametrize(("count", "is_given"), [(1, False), (LEAST - 1, False), (LEAST, True)])
def test_few_images_give_no_threshold(count, is_given):
    embeddings = rows(2, count)
    assert (calibrate(embeddings, lengths(embeddings, ""), np.arange(count))[0] is not None) == is_given


def test_frames_of_one_file_give_no_threshold():
    embeddings = rows(3, 40)
    assert calibrate(embeddings, lengths(embeddings, ""), np.zeros(40, np.int64))[0] is None


def test_of_a_large_index_a_seeded_sample_is_measured():
    embeddings = rows(4, 300)
    told = []
    runs = [
        calibrate(
            embeddings, lengths(embeddings, ""), np.arange(300), sample=50, progress=lambda *now: told.append(now)
        )
        for _ in range(2)
    ]
    assert runs[0][0] == runs[1][0]
    assert (runs[0][0].measured, runs[0][0].sampled) == (50, True)
    assert told[-1] == (50, 50)
    assert set(np.round(runs[0][1], 12)) <= set(np.round(plain(embeddings, np.arange(300), NEIGHBOURS), 12))


def test_what_lies_beyond_is_said():
    embeddings = rows(5, 100)
    norms = lengths(embeddings, "")
    found, distances = calibrate(embeddings, norms, np.arange(100))
    assert 0 < found.threshold <= distances[-1]
    queries = np.concatenate([embeddings[:1], -embeddings[:1]])
    unlike = measure(nearest(queries, embeddings, norms, found.neighbours), found)
    assert unlike.beyond.tolist() == [False, True]
    assert unlike.sentence(0, is_blank=False) is None
    assert unlike.sentence(1, is_blank=False).startswith("unlike the indexed images: distance 1.")
    assert unlike.sentence(0, is_blank=True) == "blank: all its pixels are equal"
    assert unlike.sentence(1, is_blank=True).endswith("; blank: all its pixels are equal")
    assert f"beyond the 99th percentile {found.threshold:.4f}" in unlike.sentence(1, is_blank=False)


def test_where_there_is_no_threshold_that_is_said():
    embeddings = rows(6, 3)
    unlike = measure(nearest(-embeddings, embeddings, lengths(embeddings, ""), 1), None)
    assert not unlike.beyond.any()
    assert "cannot be said" in unlike.sentence(0, is_blank=False)


def test_ordinals():
    assert [ordinal(each) for each in (99, 99.5, 91, 92, 93, 11, 12, 13, 1)] == [
        "99th", "99.5th", "91st", "92nd", "93rd", "11th", "12th", "13th", "1st"
    ]  # fmt: skip
