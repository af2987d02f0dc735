"""Whitening: features spread as widely in every direction, so that no few directions decide who is near whom."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from radiodino.runtime.errors import InputError

_LEAST = 1e-9  # of the largest variance: below it a direction holds rounding alone


@dataclass(frozen=True)
class Whitening:
    """An affine map of features; make it with `fit_whitening`."""

    mean: Tensor
    """(D,), float32."""
    matrix: Tensor
    """(D, D), float32, symmetric."""

    def directions(self, features: Tensor) -> Tensor:
        """Whitened features (N, D) of features (N, D), each of length 1."""
        return functional.normalize((features - self.mean) @ self.matrix, dim=-1)


def fit_whitening(features: Tensor, power: float) -> Whitening:
    """The whitening of `features`, as far as `power` goes.

    ZCA whitening (Kessy et al. 2018): of all whitenings the one that moves features least, here with the covariance to
    the power of -power/2 in place of -1/2. Features whose few strongest directions outweigh all others make poor
    neighbours (Jégou and Chum 2012); full whitening blows up directions that hold noise alone.

    Args:
        features: (N, D), float32, N at least 2; every row counts the same.
        power: 0 only centres, 1 makes all variances equal.

    Raises:
        InputError: where the power lies outside 0..1, there are fewer than two features, or all are the same.
    """
    if not 0 <= power <= 1:
        raise InputError(f"the power of the whitening must lie between 0 and 1, not at {power:g}")
    if len(features) < 2:
        raise InputError(f"whitening needs two images at least, found {len(features)}: give more")
    exact = features.double()
    centred = exact - exact.mean(dim=0)
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    if not variances[-1] > 0:
        raise InputError("all images have the same embedding, which nothing can spread: give other images or weights")
    scale = variances.clamp_min(variances[-1] * _LEAST) ** (-power / 2)
    return Whitening(exact.mean(dim=0).float(), ((axes * scale) @ axes.T).float())
