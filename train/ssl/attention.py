"""Attention for training: PyTorch's own where its gradient is fast, three matrix products where it is not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(query · keyᵀ · scale) · value.

    On a CPU the gradient of PyTorch's fused attention is most of a step's time at the short sequences of crops; there
    the gradient is computed from matrix products instead. Values are the same, gradients to rounding.

    Args:
        query: (B, heads, T, d), floating point.
        key: (B, heads, S, d).
        value: (B, heads, S, d).
        scale: usually 1 / √d.

    Returns:
        (B, heads, T, d).
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled() or not query.requires_grad:
        return functional.scaled_dot_product_attention(query, key, value, scale=scale)
    found: Tensor = _WithProducts.apply(query, key, value, scale)
    return found


class _WithProducts(torch.autograd.Function):
    """The fused forward pass with a gradient from matrix products (Dao et al. 2022, appendix B.2)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        taken = functional.scaled_dot_product_attention(query, key, value, scale=scale)
        ctx.save_for_backward(query, key, value, taken)
        ctx.scale = scale
        return taken

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, taken = ctx.saved_tensors
        shares = torch.softmax((query * ctx.scale) @ key.transpose(-1, -2), dim=-1)
        of_shares = gradient @ value.transpose(-1, -2)
        of_logits = shares * (of_shares - (gradient * taken).sum(-1, keepdim=True)) * ctx.scale
        return of_logits @ key, of_logits.transpose(-1, -2) @ query, shares.transpose(-1, -2) @ gradient, None
