"""How far an indexed image lies from the others, and so from which distance on an image is unlike all of them.

The distance of an image from an index is 1 − the mean cosine similarity of its `NEIGHBOURS` nearest indexed images. It
is measured for each indexed image against the others (leave one out), and the threshold is a percentile of what was
found. Were the queries drawn as the indexed images were, about 1 of 100 would lie beyond the 99th percentile.

**Near-duplicates make it too strict.** Frames of one video, slices of one volume or several exposures of one patient
lie nearer to each other than to a new patient's image; then leave-one-out distances are small, and images of new
patients are called unlike that are not. Two kinds are left out, so that they do not count as neighbours here: rows of
the same file (its frames), and copies (a similarity above 1 − 10⁻⁶). Others cannot be known from the images alone: an
index whose images belong together in groups has more warnings than the percentile says. The reverse holds for an index
that contains images unlike the rest, such as a wrong modality: they raise the threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 5
"""By the nearest one alone, pairs of look-alikes in the index (two pictures of one lesion) lower the threshold. In
`radiodino.benchmarks.out_of_distribution` with random weights, between 0 and 4.2 % of the held-out images lay beyond
the 99th percentile by the nearest alone and between 0 and 1.7 % by five, with 240 and with 600 images of each
modality; the price is that of photographs 83 to 93 % were told in place of 83 to 97 %. To be looked at again with
trained weights."""
PERCENTILE = 99.0
SAMPLE = 4096
"""Indexed images that are measured; of a larger index so many are drawn."""
SEED = 0
LEAST = 20
"""Images without which no percentile is taken."""
COPY = 1 - 1e-6
_ROWS = 2**24  # float32 similarities at a time


@dataclass(frozen=True)
class Calibration:
    """What is kept of it in an index."""

    neighbours: int
    """See `NEIGHBOURS`."""
    percentile: float
    """Of the distances, above 0 and below 100."""
    threshold: float
    """The distance at the percentile; of two measured ones the larger."""
    measured: int
    """Images that were measured."""
    sampled: bool
    """Whether they were drawn from more, with the seed 0."""
    copies: int
    """Of those measured: how many have a copy in another file of the index."""


def calibrate(
    embeddings: NDArray[np.float32],
    norms: NDArray[np.float64],
    files: NDArray[np.int64],
    *,
    percentile: float = PERCENTILE,
    neighbours: int = NEIGHBOURS,
    sample: int = SAMPLE,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Calibration | None, NDArray[np.float64]]:
    """Measure indexed images against the others.

    Args:
        embeddings: float32 (N, D).
        norms: (N,), see `radiodino.runtime.index.nearest.lengths`.
        files: (N,): rows with the same number are of the same file.
        percentile: above 0 and below 100.
        neighbours: at least 1.
        sample: images to measure at most.
        progress: is told (images measured, images to measure).

    Returns:
        What is kept and the distances, float64 (measured,), rising. None where fewer than `LEAST` images have enough
        neighbours in other files.
    """
    count = len(embeddings)
    rows = np.arange(count)
    if count > sample:
        rows = np.sort(np.random.default_rng(SEED).choice(count, sample, replace=False))
    distances = np.empty(len(rows))
    copies = 0
    step = max(1, _ROWS // count)
    for start in range(0, len(rows), step):
        own = rows[start : start + step]
        found, are_copies = _distances(own, embeddings, norms, files, min(neighbours, count))
        distances[start : start + step] = found
        copies += are_copies
        progress(min(start + step, len(rows)), len(rows))
    distances = np.sort(distances[np.isfinite(distances)])
    if len(distances) < LEAST:
        return None, distances[:0]
    threshold = float(np.percentile(distances, percentile, method="higher"))
    return Calibration(neighbours, percentile, threshold, len(distances), count > sample, copies), distances


def _distances(
    own: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    norms: NDArray[np.float64],
    files: NDArray[np.int64],
    neighbours: int,
) -> tuple[NDArray[np.float64], int]:
    """The distances, infinite where too few others are left, and how many have a copy."""
    unit = (embeddings[own] / norms[own, None]).astype(np.float32)
    values = np.empty((len(own), len(embeddings)), np.float32)
    for start in range(0, len(embeddings), 8192):
        part = slice(start, start + 8192)
        values[:, part] = unit @ embeddings[part].T
        values[:, part] /= norms[part].astype(np.float32)
    values[files[own][:, None] == files] = -np.inf
    are_copies = values > np.float32(COPY)
    values[are_copies] = -np.inf
    places = np.argpartition(values, -neighbours, axis=1)[:, -neighbours:]
    enough = np.isfinite(np.take_along_axis(values, places, axis=1)).all(axis=1)
    # again in float64, as a distance may be as small as float32's error of a similarity
    others = embeddings[places] / norms[places][..., None]
    exact = (others * (embeddings[own] / norms[own, None])[:, None]).sum(axis=2).mean(axis=1)
    return np.where(enough, 1 - exact, np.inf), int(are_copies.any(axis=1).sum())
