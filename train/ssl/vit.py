"""The backbone as pretraining runs it: crops of any size, hidden patches, all tokens or the CLS token alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from radiodino.runtime.errors import InputError
from radiodino.train.position_table import resize_position_table

if TYPE_CHECKING:
    from torch import nn


def forward_tokens(
    backbone: nn.Module, images: Tensor, mask: Tensor | None = None, mask_token: Tensor | None = None
) -> Tensor:
    """All tokens of `backbone` after its final norm, for square images of any size that its patch divides.

    Off the size that the backbone was built for, its position table is resized as the official DINO and DINOv2 codes
    do in training (bicubic, by a factor with the +0.1 offset), within the graph, so that the table learns from local
    crops too.

    Args:
        backbone: of `radiodino.train.backbone.build_backbone`; its mode decides about stochastic depth.
        images: (B, 3, S, S), floating point, normalised.
        mask: (B, N), bool: which of the N patches, in row order, are hidden from the backbone; None for no one.
        mask_token: (D,), or (1, D) as official checkpoints hold it, floating point, instead of the embedding of each
            hidden patch, before positions are added.

    Returns:
        (B, 1 + N, D): the CLS token, then the patches in row order.

    Raises:
        InputError: where the images are not square, the patch does not divide them, or mask and mask token do not
            fit.
    """
    vit: Any = backbone
    tokens: Tensor = vit.norm(vit.blocks(_embed(vit, images, mask, mask_token)))
    return tokens


def forward_cls(backbone: nn.Module, images: Tensor) -> Tensor:
    """The CLS token (B, D) of `forward_tokens`, all that DINO's loss looks at, with less work.

    In the last block only what the CLS token depends on is computed: keys and values of all tokens, but one query and
    one token in the rest of it. Embeddings and gradients are those of the whole, to rounding.
    """
    vit: Any = backbone
    tokens = vit.blocks[:-1](_embed(vit, images))
    block = vit.blocks[-1]
    cls = tokens[:, :1]
    cls = cls + block.drop_path1(block.ls1(_attention_of_first(block.attn, block.norm1(tokens))))
    cls = cls + block.drop_path2(block.ls2(block.mlp(block.norm2(cls))))
    found: Tensor = vit.norm(cls)[:, 0]
    return found


def forward_crops(backbone: nn.Module, crops: Sequence[Tensor]) -> list[Tensor]:
    """`forward_cls` of several batches of crops, those of one size together in one pass.

    Args:
        backbone: see `forward_tokens`.
        crops: (B, 3, S, S) each; B and S may differ.

    Returns:
        CLS tokens (B, D) for each of `crops`, in their order.

    Raises:
        InputError: see `forward_tokens`.
    """
    found: dict[int, Tensor] = {}
    for size in dict.fromkeys(crop.shape[-1] for crop in crops):
        places = [place for place, crop in enumerate(crops) if crop.shape[-1] == size]
        together = crops[places[0]] if len(places) == 1 else torch.cat([crops[place] for place in places])
        cls = forward_cls(backbone, together)
        found.update(zip(places, torch.split(cls, [len(crops[place]) for place in places]), strict=True))
    return [found[place] for place in range(len(crops))]


def _embed(vit: Any, images: Tensor, mask: Tensor | None = None, mask_token: Tensor | None = None) -> Tensor:
    """The tokens (B, 1 + N, D) that enter the first block."""
    patch: int = vit.patch_embed.patch_size[0]
    height, width = images.shape[-2:]
    if height != width or height % patch or height < patch:
        raise InputError(
            f"crops must be square with a multiple of the patch ({patch} px) along a side, found {height} × {width} px"
            ": change their size"
        )
    # Under autocast patches come in half precision; the sum over the blocks begins, and so stays, in the weights' type.
    tokens = vit.patch_embed.proj(images).flatten(2).transpose(1, 2).to(vit.cls_token.dtype)
    if mask is not None:
        if mask_token is None or mask.shape != tokens.shape[:2] or mask.dtype != torch.bool:
            raise InputError(
                f"hidden patches need a mask of type bool and shape {tuple(tokens.shape[:2])} and a mask token, found "
                f"{str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)} and "
                f"{'no' if mask_token is None else 'a'} token: give both"
            )
        tokens = torch.where(mask[..., None], mask_token.to(tokens.dtype), tokens)
    tokens = torch.cat([vit.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
    return tokens + resize_position_table(vit.pos_embed, height // patch, "dino")


def _attention_of_first(attention: Any, tokens: Tensor) -> Tensor:
    """What the first of the tokens (B, T, D) takes from all of them: (B, 1, D)."""
    batch, count, size = tokens.shape
    weight, bias, heads = attention.qkv.weight, attention.qkv.bias, attention.num_heads
    query = functional.linear(tokens[:, :1], weight[:size], bias[:size]).reshape(batch, 1, heads, -1).transpose(1, 2)
    others = functional.linear(tokens, weight[size:], bias[size:])
    key, value = others.reshape(batch, count, 2, heads, -1).permute(2, 0, 3, 1, 4)
    taken = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    found: Tensor = attention.proj(taken.transpose(1, 2).reshape(batch, 1, size))
    return found
