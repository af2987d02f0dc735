"""UMAP: like images lie near each other, the same seed gives the same map, and the coordinates can be read again."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("umap")

from radiodino.runtime.errors import InputError
from radiodino.train.explain.umap_map import umap_coordinates, write_coordinates

# In a process of its own without compilation, which takes far longer than these few points.
LAYOUT = """
import json, sys
import numpy as np
from radiodino.train.explain import umap_map
assert "umap" not in sys.modules and "torch" not in sys.modules
vectors = np.random.default_rng(0).normal(size=(12, 6)) + np.repeat(20 * np.eye(2, 6), 6, 0)
state = np.random.get_state()[1].copy()
maps = [umap_map.umap_coordinates(vectors, neighbours=4, seed=1) for _ in range(2)]
assert (np.random.get_state()[1] == state).all()
print(json.dumps([str(maps[0].dtype), *(found.tolist() for found in maps)]))
"""


def test_like_images_are_near_and_the_map_is_the_same_again():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", LAYOUT], env=environment, capture_output=True, text=True, check=True)
    kind, *maps = json.loads(done.stdout.splitlines()[-1])
    first, again = map(np.array, maps)
    assert kind == "float32"
    assert first.shape == (12, 2)
    assert np.array_equal(first, again)
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1)
    same = np.repeat(np.arange(2), 6)[:, None] == np.repeat(np.arange(2), 6)
    assert distances[same].max() < distances[~same].min()
    assert "n_jobs" not in done.stderr  # UMAP's warning that a seed and several threads do not go together


@pytest.mark.parametrize(
    ("count", "options", "sentence"),
    [
        (9, {"neighbours": 3}, "at least 10 images, found 9"),
        (12, {"neighbours": 12}, "fewer than the 12 images, found 12"),
        (12, {"neighbours": 1}, "at least 2"),
        (12, {"neighbours": 3, "min_dist": -0.1}, "in 0 to 1"),
        (12, {"neighbours": 3, "min_dist": math.nan}, "in 0 to 1"),
        (12, {"neighbours": 3, "metric": "l7"}, "cosine, euclidean"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(count, options, sentence):
    with pytest.raises(InputError, match=sentence):
        umap_coordinates(np.ones((count, 4)), **options)


@pytest.mark.parametrize("vectors", [np.ones(20), np.full((20, 3), np.inf)])
def test_what_are_no_embeddings_is_refused(vectors):
    with pytest.raises(InputError, match="finite embeddings"):
        umap_coordinates(vectors)


def test_the_coordinates_can_be_read_again(tmp_path):
    import csv

    places = np.array([[1.5, -2.25], [1e-7, 12345.678]], np.float32)
    write_coordinates(tmp_path / "umap.csv", places, ["a/ü, 1.png", "=b"], ["x", ""])
    with (tmp_path / "umap.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["filename", "label", "x", "y"]
    assert [row[:2] for row in rows[1:]] == [["a/ü, 1.png", "x"], ["'=b", ""]]  # no spreadsheet runs it
    np.testing.assert_allclose([[float(one) for one in row[2:]] for row in rows[1:]], places, rtol=1e-5)
