"""One block of a timm vision transformer as pretraining runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import attention

RunBlock = Callable[[nn.Module, Tensor, Tensor, bool], Tensor]
"""See `run_block`."""


def run_block(block: nn.Module, tokens: Tensor, kept: Tensor, only_first: bool) -> Tensor:
    """What `block` makes of `tokens`.

    Args:
        block: a block of `radiodino.train.backbone.build_backbone`.
        tokens: (B, T, D), floating point.
        kept: (2, B, 1, 1), factors of the two residual branches for each image (`draw_kept`).
        only_first: whether only the first token is wanted: then one query and one token in the rest of the block are
            enough, with keys and values of all.

    Returns:
        (B, T, D), or (B, 1, D).
    """
    parts: Any = block
    normed = parts.norm1(tokens)
    if only_first:
        tokens = tokens[:, :1]
    tokens = tokens + parts.ls1(_attend(parts.attn, normed, only_first)) * kept[0]
    found: Tensor = tokens + parts.ls2(parts.mlp(parts.norm2(tokens))) * kept[1]
    return found


def compiled_block() -> RunBlock:
    """`run_block`, fused by torch.compile: once for every block, size of crop, and for student and teacher."""
    known = inspect.signature(torch.compile).parameters
    more: dict[str, Any] = {"recompile_limit": 64} if "recompile_limit" in known else {}  # 8 in older versions
    compiled: RunBlock = torch.compile(run_block, dynamic=False, **more)
    return compiled


def draw_kept(block: nn.Module, tokens: Tensor) -> Tensor:
    """Stochastic depth: for each of the two branches and each image 0, or 1 / (1 - p), p being its `drop_path`.

    Returns:
        (2, B, 1, 1), of the type of `tokens` (B, T, D); ones in evaluation mode.
    """
    kept = tokens.new_ones(2, len(tokens), 1, 1)
    for branch, name in zip(kept, ("drop_path1", "drop_path2"), strict=True):
        drop = getattr(block, name)
        probability = float(getattr(drop, "drop_prob", 0.0) or 0.0)
        if drop.training and probability:
            branch.bernoulli_(1 - probability).div_(1 - probability)
    return kept


def _attend(layer: Any, tokens: Tensor, only_first: bool) -> Tensor:
    """What the tokens (B, T, D), or the first of them, take from all of them."""
    batch, count, size = tokens.shape
    weight, bias, heads = layer.qkv.weight, layer.qkv.bias, layer.num_heads
    if only_first:
        first = functional.linear(tokens[:, :1], weight[:size], bias[:size])
        query = first.view(batch, 1, heads, -1).transpose(1, 2)
        others = functional.linear(tokens, weight[size:], bias[size:])
        key, value = others.view(batch, count, 2, heads, -1).permute(2, 0, 3, 1, 4)
    else:
        every = functional.linear(tokens, weight, bias)
        query, key, value = every.view(batch, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
    taken = attention(query, key, value, layer.scale).transpose(1, 2).reshape(batch, -1, size)
    found: Tensor = layer.proj(taken)
    return found
