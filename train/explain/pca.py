"""Patch tokens as colours: three principal components, found over all shown images together (paper, section 6.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

FOREGROUNDS = ("all", "high", "low")
_PERCENTILES = (1.0, 99.0)
_ROUNDING = 1e-12  # of the variance


@dataclass(frozen=True)
class PatchColours:
    """The patches of some images as colours."""

    rgb: NDArray[np.float32]
    """(N, g, g, 3), in 0..1: the first three components as red, green, blue; 0 in the background."""
    foreground: NDArray[np.bool_]
    """(N, g, g): the patches that were kept."""
    explained: tuple[float, float, float]
    """The share of the foreground's variance that each component explains, in 0..1."""


def patch_colours(
    tokens: NDArray[np.floating[Any]], *, foreground: str = "all", threshold: float = 0.5
) -> PatchColours:
    """The first three principal components of the patch tokens of all images together, as colours.

    Each component is scaled from its 1st and 99th percentile over the foreground to 0..1. The decomposition is an exact
    one of the covariance in float64, and scikit-learn's `svd_flip` makes the largest entry of each component positive,
    so that the same tokens give the same picture; there is nothing random in it. Which colour means what depends on
    the images that are shown together.

    Args:
        tokens: (N, g², D), patches in row order.
        foreground: ``all``, or, as DINOv2 parts an object from its background, the patches whose first component
            (over all patches, scaled from its smallest and largest value to 0..1) is above (``high``) or below
            (``low``) the threshold; the components shown are then those of these patches alone. Which side the object
            is on has to be seen.
        threshold: above 0 and below 1.

    Raises:
        InputError: where an option is none of these, the tokens are no square grids or not finite, or fewer than four
            patches are left.
        MissingExtraError: where scikit-learn is not installed.
    """
    check_foreground(foreground, threshold)
    grid = math.isqrt(tokens.shape[1]) if tokens.ndim == 3 else 0
    if tokens.ndim != 3 or grid * grid != tokens.shape[1] or tokens.shape[2] < 3 or not np.isfinite(tokens).all():
        raise InputError(f"expected finite patch tokens of shape (N, g², D) with D of at least 3, found {tokens.shape}")
    flat = tokens.reshape(-1, tokens.shape[2]).astype(np.float64)
    kept = np.ones(len(flat), bool)
    if foreground != "all":
        (first,), _ = _components(flat, 1)
        spread = np.ptp(first)
        scaled = (first - first.min()) / spread if spread else np.full(len(first), 0.5)
        kept = scaled > threshold if foreground == "high" else scaled < threshold
    if kept.sum() < 4:
        raise InputError(
            f"{kept.sum()} patches are left for three components, at least 4 are needed: change the foreground or its "
            "threshold, or show more images"
        )
    components, shares = _components(flat[kept], 3)
    rgb = np.zeros((len(flat), 3), np.float32)
    for channel, values in enumerate(components):
        low, high = np.percentile(values, _PERCENTILES)
        # a component without spread, rounding aside, says nothing: medium brightness
        spreads = high > low and shares[channel] > _ROUNDING
        rgb[kept, channel] = np.clip((values - low) / (high - low), 0, 1) if spreads else 0.5
    shape = (len(tokens), grid, grid)
    return PatchColours(rgb.reshape(*shape, 3), kept.reshape(shape), (shares[0], shares[1], shares[2]))


def check_foreground(foreground: str, threshold: float) -> None:
    """See that the options of `patch_colours` are such.

    Raises:
        InputError: where they are not.
    """
    if foreground not in FOREGROUNDS:
        raise InputError(f"there is no foreground '{foreground}': choose one of {', '.join(FOREGROUNDS)}")
    if not 0 < threshold < 1:
        raise InputError(f"the threshold of the foreground must lie between 0 and 1, found {threshold:g}: 0.5 is usual")


def _components(rows: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], list[float]]:
    """The first principal components (count, n) of `rows` (n, D), and the share of variance of each."""
    require("train", "sklearn")
    from sklearn.decomposition import PCA

    variance = float(rows.var(axis=0, ddof=1).sum())
    if not variance:
        return np.zeros((count, len(rows))), [0.0] * count
    pca = PCA(n_components=count, svd_solver="full" if len(rows) < rows.shape[1] else "covariance_eigh")
    found: NDArray[np.float64] = pca.fit_transform(rows).T
    return found, [float(value) / variance for value in pca.explained_variance_]
