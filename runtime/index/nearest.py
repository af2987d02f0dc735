"""The k nearest of any number of embeddings by cosine similarity, exactly, with NumPy alone.

A matrix product in float32 finds who may be among the k nearest, and those are ranked in float64. Who may be is no
guess: a product of D terms of unit vectors errs by less than (D + 8)·2⁻²⁴ whatever the order of its sums (N. J. Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), so all within twice that of the k-th best are
ranked. In the ranking each similarity is a sum of its own, so that copies of an image have the same to the last bit; of
equal ones the one with the lower index is nearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_QUERIES = 256
_GALLERY = 8192
_RANKED = 2**21  # float64 values that are ranked at a time
_LONGEST = 1e15  # squares of what is longer or, inversely, shorter could leave the range of float32


@dataclass(frozen=True)
class Neighbours:
    """The nearest of a gallery, for each query, the nearest first."""

    indices: NDArray[np.int64]
    """(Q, k), rows of the gallery."""
    similarities: NDArray[np.float64]
    """(Q, k), cosine similarities, −1 to 1."""


def lengths(embeddings: NDArray[np.float32], what: str) -> NDArray[np.float64]:
    """The Euclidean norm of each embedding, in float64.

    Args:
        embeddings: float32 (n, D).
        what: their name in an error.

    Raises:
        InputError: one is zero or not finite, or so long or short that float32 could not compare it.
    """
    found = np.empty(len(embeddings))
    for rows in _slices(len(embeddings), _GALLERY):
        found[rows] = np.sqrt(np.square(embeddings[rows], dtype=np.float64).sum(axis=1))
    unusual = np.flatnonzero(~((found >= 1 / _LONGEST) & (found <= _LONGEST)))
    if len(unusual):
        raise InputError(
            f"row {unusual[0]} of the {what} has the length {found[unusual[0]]:g}, expected a finite one above 0: "
            "check the model that it comes from"
        )
    return found


def nearest(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], norms: NDArray[np.float64], k: int
) -> Neighbours:
    """The k most similar rows of `gallery` for each query.

    Args:
        queries: float32 (Q, D).
        gallery: float32 (N, D); may be mapped from a file, as it is read in pieces.
        norms: (N,), what `lengths` gives of `gallery`.
        k: 1 to N.

    Raises:
        InputError: a shape or type does not fit, a query has no length, or k is out of range.
    """
    if queries.ndim != 2 or queries.shape[1] != gallery.shape[1] or queries.dtype != np.float32:
        raise InputError(
            f"expected float32 embeddings (Q, {gallery.shape[1]}), found {queries.dtype} {queries.shape}: embed with "
            "the model that the index was made with"
        )
    if not 1 <= k <= len(gallery):
        raise InputError(f"k must lie from 1 to the {len(gallery)} indexed images, not {k}: choose another k")
    own = queries / lengths(queries, "queries")[:, None]  # float64
    indices = np.empty((len(queries), k), np.int64)
    similarities = np.empty((len(queries), k))
    scale = (1 / norms).astype(np.float32)
    for rows in _slices(len(queries), _QUERIES):
        for row, candidates in enumerate(_candidates(own[rows].astype(np.float32), gallery, scale, k), rows.start):
            exact = _similarities(own[row], gallery, norms, candidates)
            order = np.argsort(-exact, kind="stable")[:k]
            indices[row], similarities[row] = candidates[order], exact[order]
    return Neighbours(indices, similarities)


def _candidates(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], scale: NDArray[np.float32], k: int
) -> Iterator[NDArray[np.int64]]:
    """For each query the rows, rising, that may be among its k nearest."""
    slack = np.float32(2 * (gallery.shape[1] + 8) * 2.0**-24)
    least = np.full(len(queries), -np.inf, np.float32)  # what a row must reach, as far as is known
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for rows in _slices(len(gallery), _GALLERY):
        values = queries @ gallery[rows].T
        values *= scale[rows]
        hits = values >= least[:, None]
        crowded = np.flatnonzero(hits.sum(axis=1) > k)
        if len(crowded):
            some = values[crowded]
            place = some.shape[1] - k
            least[crowded] = np.maximum(least[crowded], np.partition(some, place, axis=1)[:, place] - slack)
            hits[crowded] = some >= least[crowded, None]
        who, which = np.nonzero(hits)
        found.append((who, which + rows.start, values[who, which]))
    who, which, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(who, kind="stable")
    ends = np.cumsum(np.bincount(who, minlength=len(queries)))[:-1]
    for own, reached in zip(np.split(which[order], ends), np.split(values[order], ends), strict=True):
        place = len(reached) - k
        yield own[reached >= np.partition(reached, place)[place] - slack]


def _similarities(
    query: NDArray[np.float64], gallery: NDArray[np.float32], norms: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    exact = np.empty(len(rows))
    for part in _slices(len(rows), max(1, _RANKED // gallery.shape[1])):
        own = gallery[rows[part]] / norms[rows[part], None]
        exact[part] = (own * query).sum(axis=1)
    return exact


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
