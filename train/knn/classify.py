"""Classification by the nearest neighbours of L2-normalised features, as in the official ``eval_knn.py`` of DINO."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from radiodino.runtime.errors import InputError, WeightsError

TEMPERATURE = 0.07
"""Of the votes in the official code."""

_SPARE = 32  # candidates beyond k, whose order float32 may have mistaken
_GATHERED = 2**22  # float64 values of gathered neighbours at a time


@dataclass(frozen=True)
class KnnResult:
    """What the neighbours say, for each k that was asked for."""

    predictions: dict[int, Tensor]
    """int64 (Q,): the class with the most votes; of equal ones the one with the lower index."""
    scores: dict[int, Tensor]
    """float32 (Q, C): each class's share of the votes; a row's sum is 1."""


def knn_classify(
    gallery: Tensor,
    labels: Tensor,
    queries: Tensor,
    ks: Sequence[int],
    *,
    classes: int,
    temperature: float = TEMPERATURE,
    device: torch.device | str = "cpu",
    query_chunk: int = 1024,
    gallery_chunk: int = 8192,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> KnnResult:
    """Let the k nearest gallery images vote for the class of each query.

    A neighbour of cosine similarity s has the weight exp(s / temperature). The official code cuts the queries into a
    hundred chunks and so fails for fewer than a hundred; here the sizes of the chunks do not depend on the numbers
    of images, which bounds the memory for any number of either, and do not change the result.

    Candidates are found in float32; the k + 32 best are then ranked, and their votes counted, in float64. Ties are
    decided for the lower index: of gallery images of the same similarity (copies of an image among them) the earlier
    one is nearer, of classes with the same votes the earlier one is predicted.

    Args:
        gallery: (G, D), floating point, finite.
        labels: (G,), int64: the class of each gallery image, 0 … C − 1.
        queries: (Q, D), floating point, finite.
        ks: numbers of neighbours, each at least 1 and at most G.
        classes: C.
        temperature: above 0; infinity makes all votes equal. For k = 1 it changes no prediction: there is one vote.
        device: where similarities are computed; features may lie elsewhere and travel in chunks.
        query_chunk: queries at a time.
        gallery_chunk: gallery images at a time.
        progress: is told (queries done, queries in all).

    Returns:
        Predictions and shares of the votes, on the CPU.

    Raises:
        InputError: where shapes or labels do not fit, a k or the temperature is none, or the gallery is smaller than
            a k.
        WeightsError: where a feature is not finite.
    """
    _check(gallery, labels, queries, ks, classes, temperature, query_chunk, gallery_chunk)
    nearest = max(ks)
    scores = {k: torch.empty(len(queries), classes) for k in ks}
    predictions = {k: torch.empty(len(queries), dtype=torch.int64) for k in ks}
    for rows in _slices(len(queries), query_chunk):
        found = _candidates(queries[rows], gallery, nearest + _SPARE, torch.device(device), gallery_chunk)
        similarities, indices = _ranked(queries[rows], gallery, found, nearest, torch.device(device))
        for k, votes in _votes(similarities, labels[indices], ks, classes, temperature):
            predictions[k][rows] = votes.argmax(dim=1)  # the first of equal ones
            scores[k][rows] = (votes / votes.sum(dim=1, keepdim=True)).float()
        progress(min(rows.stop, len(queries)), len(queries))
    return KnnResult(predictions, scores)


def _candidates(queries: Tensor, gallery: Tensor, count: int, device: torch.device, chunk: int) -> Tensor:
    """Indices (q, m), rising, of the m = min(count, G) most similar gallery images in float32."""
    own = _normalised(queries, torch.float32, device)
    values = torch.empty(len(queries), 0, device=device)
    indices = torch.empty(len(queries), 0, dtype=torch.int64, device=device)
    for rows in _slices(len(gallery), chunk):
        similarities = own @ _normalised(gallery[rows], torch.float32, device).T
        places = _top(similarities, min(count, similarities.shape[1]))
        # Earlier images stand first, so that a stable order leaves equal ones in the order of their indices.
        values = torch.cat([values, similarities.gather(1, places)], dim=1)
        indices = torch.cat([indices, places + rows.start], dim=1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        values, indices = values[:, :count], indices.gather(1, order)[:, :count]
    return indices.sort(dim=1).values


def _top(similarities: Tensor, count: int) -> Tensor:
    """Places (q, count), rising, of the largest similarities (q, n); of equal ones those that stand first."""
    if count == similarities.shape[1]:
        return torch.arange(count, device=similarities.device).expand(len(similarities), -1)
    values, places = similarities.topk(count + 1, dim=1)
    places = places[:, :count]
    # Where the first one left out equals the last one taken, `topk` took any of those that are equal.
    crowded = values[:, count] == values[:, count - 1]
    if crowded.any():
        ordered = similarities[crowded].sort(dim=1, descending=True, stable=True).indices
        places[crowded] = ordered[:, :count]
    return places.sort(dim=1).values


def _ranked(
    queries: Tensor, gallery: Tensor, candidates: Tensor, count: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Similarities, float64, and indices of the `count` nearest candidates (q, count), nearest first, on the CPU.

    Each similarity is a sum of its own, so that copies of an image have the same to the last bit, which a matrix
    product does not warrant.
    """
    in_order = candidates.cpu()
    width = in_order.shape[1] * gallery.shape[1]
    found = []
    for rows in _slices(len(queries), max(1, _GATHERED // width)):
        neighbours = _normalised(gallery[in_order[rows].reshape(-1)], torch.float64, device)
        neighbours = neighbours.view(-1, in_order.shape[1], gallery.shape[1])
        own = _normalised(queries[rows], torch.float64, device)
        found.append((neighbours * own[:, None]).sum(dim=2).cpu())
    similarities, places = torch.cat(found).sort(dim=1, descending=True, stable=True)
    return similarities[:, :count], in_order.gather(1, places)[:, :count]


def _votes(
    similarities: Tensor, labels: Tensor, ks: Sequence[int], classes: int, temperature: float
) -> Iterator[tuple[int, Tensor]]:
    """For each k the votes (q, C), float64, up to a factor that is the same for all classes of a query."""
    # Relative to the nearest neighbour: exp(1 / temperature) itself may leave the range of numbers.
    weights = ((similarities - similarities[:, :1]) / temperature).exp()
    votes = torch.zeros(len(labels), classes, dtype=torch.float64)
    rows = torch.arange(len(labels))
    for rank in range(labels.shape[1]):  # one after the other, so that sums do not depend on the machine
        votes[rows, labels[:, rank]] += weights[:, rank]
        if rank + 1 in ks:
            yield rank + 1, votes


def _normalised(features: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return functional.normalize(features.to(device=device, dtype=dtype), dim=1)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _check(
    gallery: Tensor,
    labels: Tensor,
    queries: Tensor,
    ks: Sequence[int],
    classes: int,
    temperature: float,
    query_chunk: int,
    gallery_chunk: int,
) -> None:
    if min(query_chunk, gallery_chunk) < 1:
        raise InputError(f"chunks must hold at least 1 image, not {min(query_chunk, gallery_chunk)}")
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1] or not gallery.shape[1]:
        raise InputError(
            f"expected features (G, D) and (Q, D), found {tuple(gallery.shape)} and {tuple(queries.shape)}: take both "
            "from the same source"
        )
    if labels.shape != gallery.shape[:1] or labels.dtype != torch.int64:
        raise InputError(
            f"expected int64 labels of the {len(gallery)} gallery images, found {labels.dtype} {tuple(labels.shape)}"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"labels must lie from 0 to {classes - 1}, found {int(labels.min())} to {int(labels.max())}: give the "
            "number of classes"
        )
    if not ks or min(ks) < 1:
        raise InputError(f"k must be at least 1, found {', '.join(map(str, ks)) or 'none'}: use 1,5,20")
    if max(ks) > len(gallery):
        raise InputError(
            f"k = {max(ks)} asks for more neighbours than the {len(gallery)} images of the gallery: choose a smaller k "
            "or a larger gallery"
        )
    for features in (gallery, queries):
        if not all(torch.isfinite(features[rows]).all() for rows in _slices(len(features), gallery_chunk)):
            raise WeightsError("a feature is NaN or infinite: check the weights that it comes from")
    if math.isnan(temperature) or temperature <= 0:
        raise InputError(f"the temperature must be above 0, not {temperature:g}: the official code uses {TEMPERATURE}")
