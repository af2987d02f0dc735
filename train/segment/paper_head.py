"""The paper's segmentation head (section 7.2, figure 12): convolutions at full resolution."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .conv_norm import ConvNorm
from .macs import conv_macs


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, added to what came in.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, channels, H, W) of maps of that shape."""
        return torch.relu(self.second(torch.relu(self.first(maps))) + maps)

    def macs(self, side: int) -> int:
        """Multiply-adds for one image where the maps are `side` × `side`."""
        return conv_macs(self.first, side) + conv_macs(self.second, side)


class PaperHead(nn.Module):
    """Tokens to a map of logits: linear D → patch², rearranged to full resolution, convolutions.

    The paper leaves open the width c, how many convolutions a block has, and whether they are normalised. c = 64 with
    two 3×3 convolutions and batch norm each gives, in millions of parameters:

    ====================  =======  =========  ==========
    variant               here     Table 10   difference
    ====================  =======  =========  ==========
    tiny                  0.642    0.65       -1.2 %
    small                 0.692    0.72       -3.9 %
    base                  0.790    0.80       -1.3 %
    tiny sp (patch 8)     0.605    0.65       -6.9 %
    small sp (patch 8)    0.618    0.70       -11.8 %
    ====================  =======  =========  ==========

    The rows of patch 8 do not follow from the text, whatever c is: with 64 outputs instead of 256 the linear layer is
    smaller by 192 (D + 1) parameters, 0.037 M for tiny and 0.074 M for small, where Table 10 has 0.00 and 0.02 M.

    Args:
        embedding_size: D, of a token.
        patch: side of a patch in pixels.
        channels: c.
        blocks: how many residual blocks.
    """

    kind = "paper"

    def __init__(self, embedding_size: int, patch: int, channels: int = 64, blocks: int = 8) -> None:
        super().__init__()
        self.settings = {"embedding_size": embedding_size, "patch": patch, "channels": channels, "blocks": blocks}
        self.patch = patch
        self.project = nn.Linear(embedding_size, patch * patch)
        self.enter = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.leave = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, tokens: Tensor, images: Tensor) -> Tensor:
        """Logits of the lesion, (N, S, S); the sigmoid gives its probability.

        Args:
            tokens: (N, G², D), of the patches in row order, after the final norm.
            images: (N, 3, S, S), S = G · patch; only their side is looked at.
        """
        grid = images.shape[-1] // self.patch
        flat = self.project(tokens).transpose(1, 2).unflatten(2, (grid, grid))
        maps = self.blocks(torch.relu(self.enter(functional.pixel_shuffle(flat, self.patch))))
        logits: Tensor = self.leave(maps).squeeze(1)
        return logits

    def macs(self, image_size: int) -> int:
        """Multiply-adds for one image of `image_size` pixels; see `radiodino.train.segment.macs`."""
        total = (image_size // self.patch) ** 2 * self.project.weight.numel()
        total += conv_macs(self.enter, image_size) + conv_macs(self.leave, image_size)
        return total + sum(cast(ResidualBlock, block).macs(image_size) for block in self.blocks)
