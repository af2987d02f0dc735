"""Multiply-adds of one image, counted by hand.

Those of matrix products and convolutions are counted, as is usual. Left out are normalisations (batch norm folds into
its convolution), activations, softmax, sums, and interpolation (4 per value).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from radiodino.runtime.variants import Variant

from .conv_norm import ConvNorm


def conv_macs(layer: nn.Module, side: int) -> int:
    """Multiply-adds of a convolution (`torch.nn.Conv2d` or `ConvNorm`) whose output is `side` × `side`."""
    conv = layer.conv if isinstance(layer, ConvNorm) else layer
    return cast(Tensor, conv.weight).numel() * side * side


def backbone_macs(variant: Variant, image_size: int) -> int:
    """Multiply-adds of the backbone for all tokens of an image of `image_size` pixels.

    Patch embedding: 3 p² D per patch. A block of n tokens: 12 n D² in its linear layers, 2 n² D in its attention.

    Raises:
        InputError: where the size is no multiple of the patch.
    """
    size, patches = variant.embedding_size, variant.grid(image_size) ** 2
    tokens = patches + 1
    block = 12 * tokens * size**2 + 2 * tokens**2 * size
    return patches * 3 * variant.patch**2 * size + variant.depth * block
