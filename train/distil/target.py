"""The embedding to be learnt: several features of an image, each whitened, in as many numbers as one embedding has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from .whitening import fit_whitening


def joined_target(features: Mapping[str, Tensor], power: float, near: str) -> Tensor:
    """Targets (N, D) of length 1 whose cosines are nearly the mean of those of the whitened features.

    The whitened features, each of length 1, are joined and projected onto their D strongest directions, which keeps
    what can be kept of their inner products; then they are turned (orthogonal Procrustes), which changes no cosine
    among them, so that they lie as near as possible to the whitened feature `near`, from which a network has least to
    learn.

    Args:
        features: name → (N, D), float32.
        power: see `fit_whitening`.
        near: one of the names.

    Raises:
        InputError: see `fit_whitening`.
    """
    whitened = {name: fit_whitening(found, power).directions(found) for name, found in features.items()}
    joined = torch.cat(list(whitened.values()), dim=1)
    size = whitened[near].shape[1]
    _, axes = torch.linalg.eigh(joined.T.double() @ joined.double())
    strongest = joined @ axes[:, -size:].float()
    left, _, right = torch.linalg.svd(strongest.T @ whitened[near])
    return functional.normalize(strongest @ (left @ right), dim=1)
