"""The votes of the nearest neighbours, as ``radiodino-train knn`` and DINO's official ``eval_knn.py`` count them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .nearest import Neighbours

TEMPERATURE = 0.07
"""Of the votes in the official code."""


@dataclass(frozen=True)
class Votes:
    """What the neighbours say, for each k that was asked for."""

    predictions: dict[int, NDArray[np.int64]]
    """(Q,): the class with the most votes; of equal ones the one with the lower index."""
    scores: dict[int, NDArray[np.float32]]
    """(Q, C): each class's share of the votes; a row's sum is 1. A share is no probability of a disease."""


def count_votes(found: Neighbours, labels: NDArray[np.integer], ks: Sequence[int], classes: int) -> Votes:
    """Let the k nearest vote; a neighbour of similarity s has the weight exp(s / 0.07).

    Args:
        found: at least max(ks) neighbours of each query.
        labels: (N,), the class of each row of the gallery, 0 … C − 1.
        ks: each at least 1.
        classes: C.
    """
    predictions: dict[int, NDArray[np.int64]] = {}
    scores: dict[int, NDArray[np.float32]] = {}
    # relative to the nearest, as exp(1 / 0.07) is large
    weights = np.exp((found.similarities - found.similarities[:, :1]) / TEMPERATURE)
    own = labels[found.indices]
    votes = np.zeros((len(own), classes))
    rows = np.arange(len(own))
    for rank in range(max(ks)):  # one after the other, so that sums do not depend on the machine
        votes[rows, own[:, rank]] += weights[:, rank]
        if rank + 1 in ks:
            predictions[rank + 1] = votes.argmax(axis=1)  # the first of equal ones
            scores[rank + 1] = (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
    return Votes(predictions, scores)
