"""Weights folded into their neighbours: the same function to rounding, in fewer operators.

Engines run the affine half of a LayerNorm, the scale of attention and LayerScale as operators of their own; each is a
constant factor that the linear layer beside it can hold.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import nn


def folded(backbone: nn.Module) -> nn.Module:
    """A copy of `backbone` with every constant factor in a linear layer's weights.

    - the weight and bias of the norms before attention and MLP into the layer that reads them;
    - attention's 1 / √d into the rows of the query (a power of two in every variant, so exactly);
    - LayerScale into the projection before it.

    Args:
        backbone: a timm VisionTransformer in evaluation mode. It is left as it is.
    """
    copied = copy.deepcopy(backbone)
    with torch.no_grad():
        for block in cast(Any, copied).blocks:
            attention, size = block.attn, block.attn.attn_dim
            attention.qkv.weight[:size] *= attention.scale
            attention.qkv.bias[:size] *= attention.scale
            attention.scale = 1.0
            attention.fused_attn = False  # the fused operator has a scale of its own
            _fold_norm(block.norm1, attention.qkv)
            _fold_norm(block.norm2, block.mlp.fc1)
            block.ls1 = _fold_scale(block.ls1, attention.proj)
            block.ls2 = _fold_scale(block.ls2, block.mlp.fc2)
    return copied


def _fold_norm(norm: nn.LayerNorm, linear: nn.Linear) -> None:
    linear.bias.add_(linear.weight @ norm.bias)
    linear.weight.mul_(norm.weight)
    norm.weight.fill_(1.0)
    norm.bias.zero_()


def _fold_scale(scale: nn.Module, linear: nn.Linear) -> nn.Module:
    if isinstance(scale, nn.Identity):
        return scale
    gamma = cast(Any, scale).gamma
    linear.weight.mul_(gamma[:, None])
    linear.bias.mul_(gamma)
    return nn.Identity()
