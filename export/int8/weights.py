"""Weights in 8 bits, symmetric, with a scale for each output channel, that no CPU saturates on.

A CPU without VNNI multiplies unsigned by signed bytes in pairs and adds the two products in 16 bits, saturating
(``vpmaddubsw``). With activations up to 255 the sum of two products stays within them where the positive weights of a
pair sum to 128 at most, and the negative ones to -128. Seven bits for each weight would see to that at the price of
half the resolution everywhere; here a pair is held to it only where it would break it, "pair-safe". Engines fill a
register with four weights at a time, so any two of four are held to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canonical import Float

PAIR_LIMIT = 128
"""255 · 128 = 32640 is within 16 signed bits, 255 · 129 = 32895 is not."""
_GROUP = 4


@dataclass(frozen=True)
class Scheme:
    """What 8-bit weights may hold."""

    largest: int
    pairs: bool
    """Whether pairs are held to `PAIR_LIMIT`."""


SCHEMES = {
    "pair-safe": Scheme(127, pairs=True),
    "7 bit": Scheme(64, pairs=False),  # two of them sum to 128
    "unrestricted": Scheme(127, pairs=False),  # right on CPUs with VNNI only; for comparison
}


@dataclass(frozen=True)
class QuantisedWeight:
    """A weight as `values` · `scales`."""

    values: NDArray[np.int8]
    """(G, K, N)."""
    scales: Float
    """(G, N), above 0."""

    def restored(self) -> Float:
        """What the engines compute with, (G, K, N)."""
        return self.values * self.scales[:, None]


def quantise_weight(
    weight: Float,
    importance: Float,
    orders: Sequence[NDArray[np.int64]],
    scheme: str = "pair-safe",
) -> QuantisedWeight:
    """Round each output channel in steps of which the largest weight is 127 (64 for 7 bits).

    Where that leaves unsafe pairs, those are cut as little as makes them safe, or the steps are made so large that no
    pair is unsafe, whichever costs less. Other scales were tried: they win nothing at 8 bits.

    Args:
        weight: (G, K, N).
        importance: (G, K), the mean square of what each weight is multiplied with, by which its squared error counts;
            the sum is the output's where inputs are uncorrelated.
        orders: of K, see `radiodino.export.int8.canonical.sum_orders`.
        scheme: of `SCHEMES`.
    """
    groups, depth, outputs = weight.shape
    flat = weight.transpose(1, 0, 2).reshape(depth, -1)
    weights: Float = (importance.T + 1e-6 * importance.mean() + 1e-30).astype(np.float32)
    weights = np.broadcast_to(weights, flat.shape) if groups == 1 else np.repeat(weights, outputs, axis=1)
    limits = SCHEMES[scheme]
    whole = np.abs(flat).max(axis=0) / np.float32(limits.largest)
    whole = np.where(whole > _SMALLEST, whole, np.float32(1.0))
    candidates = [whole]
    if limits.pairs:
        candidates.append(np.maximum(whole, _largest_pair_sums(flat, orders) / np.float32(PAIR_LIMIT)))
    best = np.full(flat.shape[1], np.inf, np.float32)
    values = np.zeros(flat.shape, np.int8)
    scales = whole.copy()
    for scale in candidates:
        exact: Float = (flat / scale).astype(np.float32)
        rounded = np.clip(np.rint(exact), -limits.largest, limits.largest).astype(np.int16)
        if limits.pairs:
            for order in orders:
                _make_pairs_safe(rounded, exact, weights, order)
        error = (weights * (rounded - exact) ** 2).sum(axis=0) * scale**2
        better = error < best
        best[better], scales[better] = error[better], scale[better]
        values[:, better] = rounded[:, better]
    shaped = np.ascontiguousarray(values.reshape(depth, groups, outputs).transpose(1, 0, 2))
    return QuantisedWeight(shaped, scales.reshape(groups, outputs))


_SMALLEST = np.float32(1e-20)
"""A channel of smaller weights is nothing; its scale would be no number that an engine can divide by."""


def is_pair_safe(values: NDArray[np.int8], orders: Sequence[NDArray[np.int64]]) -> bool:
    """Whether no two weights of any four that an engine holds together can saturate 16 bits.

    Args:
        values: (G, K, N).
        orders: of K.
    """
    flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1).astype(np.int16)
    return all(bool((_largest_pair_sums(flat, [order]) <= PAIR_LIMIT).all()) for order in orders)


def _fours(flat: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    """(K, M) as a copy (⌈K / 4⌉, 4, M) in `order`, zeros at the end."""
    padding = -len(order) % _GROUP
    padded: NDArray[Any] = np.pad(flat[order], ((0, padding), (0, 0)))
    return padded.reshape(-1, _GROUP, flat.shape[1])


def _largest_pair_sums(flat: NDArray[Any], orders: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
    """For each column, the largest magnitude that two weights of one sign in one four sum to."""
    sums = [_two_largest(sign * _fours(flat, order)).max(axis=0) for order in orders for sign in (1, -1)]
    largest: NDArray[Any] = np.max(sums, axis=0)
    return largest


def _two_largest(fours: NDArray[Any]) -> NDArray[Any]:
    """(F, 4, M) → (F, M): the sum of the two largest positive ones, 0 where there are none."""
    a, b, c, d = (np.maximum(fours[:, index], 0) for index in range(_GROUP))
    low_ab, high_ab = np.minimum(a, b), np.maximum(a, b)
    low_cd, high_cd = np.minimum(c, d), np.maximum(c, d)
    second = np.maximum(np.minimum(high_ab, high_cd), np.maximum(low_ab, low_cd))
    total: NDArray[Any] = np.maximum(high_ab, high_cd) + second
    return total


def _make_pairs_safe(rounded: NDArray[np.int16], exact: Float, weights: Float, order: NDArray[np.int64]) -> None:
    """Cut, in place, what breaks the limit: in a four the largest to some cap, the others to what the cap leaves.

    Magnitudes only shrink, so that what is safe in one order stays so.
    """
    fours = _fours(rounded, order)
    for sign in (1, -1):
        four, column = np.nonzero(_two_largest(sign * fours) > PAIR_LIMIT)
        if not len(four):
            continue
        rows = four[:, None] * _GROUP + np.arange(_GROUP)
        inside = rows < len(order)
        places = order[np.minimum(rows, len(order) - 1)]
        picked = (places, column[:, None])
        found = sign * fours[four, :, column]
        wanted = np.where(inside, sign * exact[picked], 0)
        cut = _cut_least(np.where(inside, found, 0), wanted, np.where(inside, weights[picked], 0))
        change = inside & (found > 0)
        rounded[places[change], np.broadcast_to(column[:, None], places.shape)[change]] = sign * cut[change]
        fours[four, :, column] = np.where(found > 0, sign * cut, fours[four, :, column])


def _cut_least(found: NDArray[np.int16], wanted: Float, weights: Float) -> NDArray[np.int16]:
    """The cap of each four, (V, 4), that costs least of all from 64 to 127."""
    largest = found == found.max(axis=1, keepdims=True)
    first = largest & (np.cumsum(largest, axis=1) == 1)
    best, least = found, np.full(len(found), np.inf)
    for cap in range(PAIR_LIMIT // 2, 128):
        cut = np.minimum(found, np.where(first, cap, PAIR_LIMIT - cap).astype(np.int16))
        cost = (weights * np.where(found > 0, cut - wanted, 0) ** 2).sum(axis=1)
        best = np.where((cost < least)[:, None], cut, best)
        least = np.minimum(cost, least)
    return best
