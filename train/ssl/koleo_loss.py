"""KoLeo, DINOv2's regulariser: embeddings of a batch spread out evenly."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from radiodino.runtime.errors import InputError

_SMALL = 1e-8  # keeps the norm, the distance and the logarithm away from 0, as the official code does


def koleo_loss(embeddings: Tensor) -> Tensor:
    """Minus the mean logarithm of the distance to the nearest neighbour, for each crop by itself, summed over crops.

    Kozachenko–Leonenko estimate of the entropy (Sablayrolles et al. 2019; DINOv2, section 4). The
    crops of an image are neighbours by design, so each global crop is a set of its own. DINOv2 applies it with
    weight 0.1 to the student's CLS tokens after the final norm, before the head. Gradients flow to both ends of each
    distance. Neighbours are sought on this rank alone, as in the official code: here, two ranks do not equal one
    rank with the joined batch.

    Args:
        embeddings: (crops, B, D), floating point, B at least 2; row b of every crop comes from image b.

    Returns:
        (), float32. The largest contributions, -ln(1e-8 · (√D + 1)) / B each, come from embeddings identical to
        another.

    Raises:
        InputError: where the shape is another, or B is 1 and a nearest neighbour does not exist.
    """
    if embeddings.ndim != 3:
        raise InputError(f"KoLeo needs embeddings of shape (crops, batch, size), not {tuple(embeddings.shape)}")
    crops, batch, size = embeddings.shape
    if batch < 2:
        raise InputError(
            f"KoLeo needs at least 2 images per rank, because it measures the distance to the nearest neighbour, "
            f"found {batch}: raise the batch size or set the weight of KoLeo to 0"
        )
    with torch.autocast(embeddings.device.type, enabled=False):
        points = functional.normalize(
            embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)), dim=-1, eps=_SMALL
        )
        with torch.no_grad():
            cosines = points @ points.transpose(1, 2)
            cosines.diagonal(dim1=1, dim2=2).fill_(-torch.inf)  # no point is its own neighbour
            nearest = cosines.argmax(dim=-1)
        neighbours = points.gather(1, nearest.unsqueeze(-1).expand(crops, batch, size))
        distances = torch.linalg.vector_norm(points - neighbours + _SMALL, dim=-1)
        loss: Tensor = -(distances + _SMALL).log().mean(dim=1).sum()
        return loss
