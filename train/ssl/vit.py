"""The backbone as pretraining runs it: crops of any size, hidden patches, all tokens or the CLS token alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from radiodino.runtime.errors import InputError
from radiodino.train.position_table import resize_position_table

from .block import RunBlock, draw_kept, run_block

if TYPE_CHECKING:
    from torch import nn


def forward_tokens(
    backbone: nn.Module,
    images: Tensor,
    mask: Tensor | None = None,
    mask_token: Tensor | None = None,
    run: RunBlock = run_block,
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
        run: how a block is run, see `radiodino.train.ssl.block`.

    Returns:
        (B, 1 + N, D): the CLS token, then the patches in row order.

    Raises:
        InputError: where the images are not square, the patch does not divide them, or mask and mask token do not
            fit.
    """
    vit: Any = backbone
    tokens = _embed(vit, images, mask, mask_token)
    for block in vit.blocks:
        tokens = run(block, tokens, draw_kept(block, tokens), False)
    found: Tensor = vit.norm(tokens)
    return found


def forward_cls(backbone: nn.Module, images: Tensor, run: RunBlock = run_block) -> Tensor:
    """The CLS token (B, D) of `forward_tokens`, all that DINO's loss looks at, with less work.

    In the last block only what the CLS token depends on is computed: keys and values of all tokens, but one query and
    one token in the rest of it. Embeddings and gradients are those of the whole, to rounding.
    """
    vit: Any = backbone
    tokens = _embed(vit, images)
    for block in vit.blocks:
        tokens = run(block, tokens, draw_kept(block, tokens), block is vit.blocks[-1])
    found: Tensor = vit.norm(tokens)[:, 0]
    return found


def forward_crops(backbone: nn.Module, crops: Sequence[Tensor], run: RunBlock = run_block) -> list[Tensor]:
    """`forward_cls` of several batches of crops, those of one size together in one pass.

    Args:
        backbone: see `forward_tokens`.
        crops: (B, 3, S, S) each; B and S may differ.
        run: see `forward_tokens`.

    Returns:
        CLS tokens (B, D) for each of `crops`, in their order.

    Raises:
        InputError: see `forward_tokens`.
    """
    found: dict[int, Tensor] = {}
    for size in dict.fromkeys(crop.shape[-1] for crop in crops):
        places = [place for place, crop in enumerate(crops) if crop.shape[-1] == size]
        together = crops[places[0]] if len(places) == 1 else torch.cat([crops[place] for place in places])
        cls = forward_cls(backbone, together, run)
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
    tokens = _patches(vit.patch_embed.proj, images).to(vit.cls_token.dtype)
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


def _patches(projection: Any, images: Tensor) -> Tensor:
    """The embeddings (B, N, D) of patches in row order.

    One matrix product, whose gradient is faster than that of the convolution that it equals.
    """
    batch, channels, height, width = images.shape
    patch = projection.kernel_size[0]
    cut = images.reshape(batch, channels, height // patch, patch, width // patch, patch).permute(0, 2, 4, 1, 3, 5)
    rows = cut.reshape(batch, -1, channels * patch * patch)
    return functional.linear(rows, projection.weight.flatten(1), projection.bias)
