"""Where the CLS token looks: its attention to each patch in the last block, one map per head (paper, section 6.3).

As in the official DINO's ``visualize_attention``: the rows of the softmax without their CLS column, not normalised
anew, so that a map sums to less than 1, the rest being the CLS token's attention to itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from radiodino.runtime.errors import InputError

from .network_input import check_images


@torch.no_grad()
def cls_attention(backbone: nn.Module, images: Tensor) -> Tensor:
    """The attention of the CLS query to each patch in the last block.

    It is computed from that block's own query and key weights, because fused attention never holds it: the input of
    the block's attention is taken down in a forward pass, and of the queries the CLS token's alone is made.

    Args:
        backbone: of `radiodino.train.backbone.build_backbone`, in evaluation mode.
        images: (N, 3, S, S), float32, normalised, S as the backbone was built for; on its device.

    Returns:
        (N, heads, g, g), float32, in 0..1, rows of patches from the top; each map sums to less than 1 (to rounding).

    Raises:
        InputError: where the images have another shape, or the backbone is in training mode.
    """
    grid = check_images(backbone, images)
    if backbone.training:
        raise InputError("attention maps need a backbone in evaluation mode, found training mode: call .eval()")
    vit: Any = backbone
    attention = vit.blocks[-1].attn
    taken: list[Tensor] = []
    handle = attention.register_forward_pre_hook(lambda _module, inputs: taken.append(inputs[0]))
    try:
        vit.forward_features(images)
    finally:
        handle.remove()
    tokens = taken[0]  # (N, 1 + g², D), after the block's first norm
    count, length, width = tokens.shape
    heads: int = attention.num_heads
    projection = attention.qkv  # rows: queries, keys, values; each in the order of the heads
    bias = [None] * 2 if projection.bias is None else [projection.bias[:width], projection.bias[width : 2 * width]]
    query = nn.functional.linear(tokens[:, :1], projection.weight[:width], bias[0])
    key = nn.functional.linear(tokens, projection.weight[width : 2 * width], bias[1])
    query = attention.q_norm(query.reshape(count, 1, heads, -1).transpose(1, 2))
    key = attention.k_norm(key.reshape(count, length, heads, -1).transpose(1, 2))
    shares = torch.softmax((query * attention.scale) @ key.transpose(-1, -2), dim=-1)  # (N, heads, 1, 1 + g²)
    return shares[:, :, 0, 1:].float().reshape(count, heads, grid, grid)


def check_mass(mass: float) -> None:
    """See that `mass` is a share.

    Raises:
        InputError: where it is not above 0 and at most 1.
    """
    if not 0 < mass <= 1:
        raise InputError(f"the mass to keep must be above 0 and at most 1, found {mass:g}: DINO's own is 0.6")


def keep_mass(maps: Tensor, mass: float = 0.6) -> Tensor:
    """The fewest patches of each map that together hold at least the share `mass` of it, the strongest first.

    The threshold of ``visualize_attention``, there 0.6 by default: the share is of the patches' sum, the CLS token
    aside. Of equal patches, those that come first in row order are taken first.

    Args:
        maps: (..., g, g), not negative, each with a sum above 0.
        mass: above 0 and at most 1.

    Returns:
        bool, of the shape of `maps`: True where a patch is kept.

    Raises:
        InputError: where the mass is no such share, or a map has negative values or no positive one.
    """
    check_mass(mass)
    flat = maps.flatten(-2).double()
    if not bool((flat >= 0).all() and (flat.sum(-1) > 0).all()):
        raise InputError("maps must have values of at least 0 and a sum above 0: give attention maps")
    ranked, order = torch.sort(flat, dim=-1, descending=True, stable=True)
    before = torch.cumsum(ranked, dim=-1) - ranked  # what stronger patches hold already
    kept = before < mass * flat.sum(-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, order, kept).reshape(maps.shape)
