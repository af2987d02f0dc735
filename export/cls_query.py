"""The last block computed for the CLS query alone, which is all that an embedding and a class need of it.

Keys and values come from every token as before; query, projection, second norm and MLP from the CLS token only. The
function is the same to rounding, and one of twelve blocks costs a third.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

NEEDS_PATCHES = frozenset({"mask", "patch_tokens", "cam"})
"""Outputs that are made of the last block's patch tokens."""


@contextlib.contextmanager
def cls_query_only(backbone: nn.Module, outputs: tuple[str, ...]) -> Iterator[None]:
    """Let `backbone` compute its last block for the CLS query alone, where `outputs` allow it.

    Args:
        backbone: a timm VisionTransformer; its last block is replaced meanwhile by one that shares its weights.
        outputs: of `radiodino.export.settings.OUTPUTS`. With one of `NEEDS_PATCHES` nothing is changed.
    """
    if NEEDS_PATCHES.intersection(outputs):
        yield
        return
    blocks = cast(Any, backbone).blocks
    whole = blocks[-1]
    blocks[-1] = ClsQueryBlock(whole).eval()
    try:
        yield
    finally:
        blocks[-1] = whole


class ClsQueryBlock(nn.Module):
    """A timm block whose output is the CLS token alone.

    Args:
        block: a timm ViT block without norms of query and key, gates or dropout in use.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        whole = cast(Any, block)
        self.norm1, self.ls1, self.norm2, self.mlp, self.ls2 = (
            whole.norm1, whole.ls1, whole.norm2, whole.mlp, whole.ls2,
        )  # fmt: skip
        self.attn = ClsQueryAttention(whole.attn)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 1 + N, D) to the CLS token after the block, (B, 1, D)."""
        cls = tokens[:, :1] + self.ls1(self.attn(self.norm1(tokens)))
        result: Tensor = cls + self.ls2(self.mlp(self.norm2(cls)))
        return result


class ClsQueryAttention(nn.Module):
    """Attention of the CLS query to all tokens.

    Args:
        attention: a timm Attention.

    Attributes:
        attn_drop: what the softmax, (B, heads, 1, 1 + N), passes through, as in timm's module.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        whole = cast(Any, attention)
        size = whole.attn_dim
        self.num_heads, self.head_dim, self.scale = whole.num_heads, whole.head_dim, whole.scale
        self.fused_attn = False
        self.q, self.kv = _rows(whole.qkv, 0, size), _rows(whole.qkv, size, 3 * size)
        self.attn_drop, self.proj = whole.attn_drop, whole.proj

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalised tokens (B, 1 + N, D) to the projected answer for the CLS token, (B, 1, D)."""
        batch, count, _ = tokens.shape
        query = self.q(tokens[:, :1]).reshape(batch, 1, self.num_heads, self.head_dim).transpose(1, 2)
        pairs = self.kv(tokens).reshape(batch, count, 2, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        keys, values = pairs.unbind(0)
        attention = self.attn_drop(((query * self.scale) @ keys.transpose(-2, -1)).softmax(dim=-1))
        answer = (attention @ values).transpose(1, 2).reshape(batch, 1, self.num_heads * self.head_dim)
        result: Tensor = self.proj(answer)
        return result


def _rows(linear: nn.Linear, first: int, end: int) -> nn.Linear:
    part = nn.Linear(linear.in_features, end - first, bias=linear.bias is not None)
    with torch.no_grad():
        part.weight.copy_(linear.weight[first:end])
        if linear.bias is not None:
            part.bias.copy_(linear.bias[first:end])
    return part
