"""Sinkhorn–Knopp assignment of samples to prototypes, DINOv2's alternative to a centre."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from radiodino.runtime.errors import InputError


@torch.no_grad()
def sinkhorn_knopp(teacher_logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Targets in which every prototype is used about equally often and every sample has one unit to give.

    From exp(logits / temperature), each iteration divides every prototype by its sum over the samples of all ranks,
    then every sample by its sum over the prototypes (SwAV, section 3.1; DINOv2, section 4; three iterations in the
    official code). The constants 1/K and 1/B of the usual description cancel in the next division and are left out,
    and so the ranks need not hold equally many samples.

    Dividing by a prototype's sum undoes any factor of that prototype, so its largest logit over all samples is
    subtracted beforehand: the same result, without the overflow of exp beyond logits of 88 · temperature and without
    prototypes whose sum is 0.

    Args:
        teacher_logits: (N, K), floating point, this rank's samples (CLS tokens or masked patches); N may be 0 on one
            rank of several. Where torch.distributed is initialised, all ranks call this together.
        temperature: above 0, dimensionless.
        iterations: at least 1.

    Returns:
        (N, K), float32, at least 0; the rows sum to 1. For many iterations the columns, over all ranks, sum to
        (samples of all ranks) / K.

    Raises:
        InputError: where the shape, the temperature or the iterations are out of range.
    """
    if teacher_logits.ndim != 2:
        raise InputError(
            f"Sinkhorn-Knopp needs logits of shape (samples, prototypes), not {tuple(teacher_logits.shape)}"
        )
    if not temperature > 0:
        raise InputError(f"Sinkhorn-Knopp needs a temperature above 0, not {temperature}")
    if iterations < 1:
        raise InputError(f"Sinkhorn-Knopp needs at least 1 iteration, not {iterations}")
    shares = teacher_logits.to(torch.promote_types(teacher_logits.dtype, torch.float32)) / temperature
    largest = shares.amax(dim=0) if len(shares) else shares.new_full(shares.shape[1:], -torch.inf)
    shares.sub_(_over_ranks(largest, maximum=True)).exp_()
    for _ in range(iterations):
        shares /= _over_ranks(shares.sum(dim=0))
        shares /= shares.sum(dim=1, keepdim=True)
    return shares


def _over_ranks(tensor: Tensor, maximum: bool = False) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX if maximum else distributed.ReduceOp.SUM)
    return tensor
