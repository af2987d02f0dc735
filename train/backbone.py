"""A variant of the family as a timm vision transformer, without weights of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import Variant

if TYPE_CHECKING:
    from torch import nn

_LAYER_SCALE = 1e-5  # where DINOv2's LayerScale starts; loaded weights replace it


def build_backbone(
    variant: Variant, image_size: int = 224, *, drop_path: float = 0.0, drop_path_uniform: bool = False
) -> nn.Module:
    """The architecture of `variant` in timm, with timm's random initial weights, in evaluation mode.

    LayerNorm has eps 1e-6, the query-key-value projection a bias, GELU is exact, there is no classifier, and the
    output is the CLS token after the final norm. The numbers come from `variant` alone, so a variant outside the
    table is built in the same way.

    Args:
        variant: what to build.
        image_size: side of the square input in pixels, a multiple of the variant's patch; the position table has one
            entry for each of its patches and one for the CLS token.
        drop_path: stochastic depth: with what probability a residual branch of the last block is left out for an
            image in training mode; it rises linearly from 0 in the first block (DINO). It adds no weights and leaves
            the initial ones as they are.
        drop_path_uniform: whether `drop_path` holds in every block instead (DINOv2).

    Returns:
        A module from images (N, 3, image_size, image_size), float32, normalised, to embeddings
        (N, embedding_size), float32. It refuses any other image size.

    Raises:
        InputError: where the size is not a multiple of the patch, or `drop_path` is no probability below 1.
        MissingExtraError: where torch or timm is not installed.
    """
    variant.grid(image_size)
    if not 0 <= drop_path < 1:
        raise InputError(f"drop_path must be at least 0 and below 1, found {drop_path:g}: use 0.1 as DINO does")
    require("export", "torch", "timm")
    import timm
    from timm.layers.drop import DropPath

    # One named architecture serves for all: the timm models of the family differ in these numbers only.
    model: nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        pretrained=False,
        num_classes=0,
        global_pool="token",
        img_size=image_size,
        patch_size=variant.patch,
        embed_dim=variant.embedding_size,
        depth=variant.depth,
        num_heads=variant.heads,
        init_values=_LAYER_SCALE if variant.layer_scale else None,
        drop_path_rate=drop_path,
    )
    if drop_path and drop_path_uniform:
        for block in cast(Any, model).blocks:
            block.drop_path1, block.drop_path2 = DropPath(drop_path), DropPath(drop_path)
    return model.eval()


def entry_shapes(variant: Variant, image_size: int = 224) -> dict[str, tuple[int, ...]]:
    """The names and shapes in the state dict of `build_backbone(variant, image_size)`, without building it.

    Raises:
        InputError: where the size is not a multiple of the patch.
    """
    size, patch = variant.embedding_size, variant.patch
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, size),
        "pos_embed": (1, 1 + variant.grid(image_size) ** 2, size),
        "patch_embed.proj.weight": (size, 3, patch, patch),
        "patch_embed.proj.bias": (size,),
    }
    block: dict[str, tuple[int, ...]] = {
        "norm1.weight": (size,),
        "norm1.bias": (size,),
        "attn.qkv.weight": (3 * size, size),
        "attn.qkv.bias": (3 * size,),
        "attn.proj.weight": (size, size),
        "attn.proj.bias": (size,),
        **({"ls1.gamma": (size,)} if variant.layer_scale else {}),
        "norm2.weight": (size,),
        "norm2.bias": (size,),
        "mlp.fc1.weight": (4 * size, size),
        "mlp.fc1.bias": (4 * size,),
        "mlp.fc2.weight": (size, 4 * size),
        "mlp.fc2.bias": (size,),
        **({"ls2.gamma": (size,)} if variant.layer_scale else {}),
    }
    for index in range(variant.depth):
        shapes.update({f"blocks.{index}.{name}": shape for name, shape in block.items()})
    shapes.update({"norm.weight": (size,), "norm.bias": (size,)})
    return shapes
