"""A segmentation head for the edge: it works where the tokens are, and looks at the image for edges alone.

The paper's head runs 64 channels through sixteen convolutions at full resolution: at 448 px 118.6 GMACs where the tiny
backbone takes 7.1. What it makes of a token is a smooth map: its patch of 16 × 16 pixels comes out of one linear layer.
Here the tokens are brought to a lesion's outline in three steps, each twice as fine as the last: at the grid of the
patches (1/16), at 1/8 and at 1/4 of the image's side, with depthwise and pointwise convolutions, whose work falls with
the area. Where an edge runs exactly, the tokens of large patches no longer say; a few strided convolutions on the
image itself do, and join at 1/8 and 1/4. The last map is interpolated to full resolution. That takes 0.33 GMACs for
tiny, 356 times fewer.

Every operator is one that phones, ONNX Runtime, OpenVINO and TensorRT have: convolution, ReLU, addition, bilinear
resize; batch norm folds into its convolution (`radiodino.train.segment.conv_norm.fold_batch_norm`).
"""

from __future__ import annotations

import itertools
import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from radiodino.runtime.errors import InputError

from .conv_norm import ConvNorm
from .macs import conv_macs

_FINEST = 4  # pixels per value of the last map, or a little less where the patch is no power of two


class LiteBlock(nn.Module):
    """A wide depthwise convolution, then two pointwise ones over twice the channels, added to what came in.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = ConvNorm(channels, channels, 5, groups=channels)
        self.widen = ConvNorm(channels, 2 * channels)
        self.narrow = ConvNorm(2 * channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, channels, H, W) of maps of that shape."""
        found: Tensor = maps + self.narrow(torch.relu(self.widen(self.spread(maps))))
        return found

    def macs(self, side: int) -> int:
        """Multiply-adds for one image where the maps are `side` × `side`."""
        return sum(conv_macs(layer, side) for layer in (self.spread, self.widen, self.narrow))


class LiteHead(nn.Module):
    """Tokens and image to a map of logits, in steps that double the resolution.

    Args:
        embedding_size: D, of a token.
        patch: side of a patch in pixels, 5 to 16.
        channels: of the maps at 1/16, 1/8 and 1/4 of the image's side; a smaller patch starts at the second.
        blocks: how many blocks there, likewise.
        detail: channels of the image's first convolution.
        dropout: share of the tokens' channels that training leaves out of an image, so that the head does not lean on
            what a few images have in common.

    Raises:
        InputError: where there are no levels for such a patch.
    """

    kind = "lite"

    def __init__(
        self,
        embedding_size: int,
        patch: int,
        channels: tuple[int, ...] = (96, 64, 32),
        blocks: tuple[int, ...] = (3, 2, 1),
        detail: int = 16,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if not _FINEST < patch <= _FINEST << len(channels) - 1:
            raise InputError(
                f"the lite head is made for patches of {_FINEST + 1} to {_FINEST << len(channels) - 1} px, not "
                f"{patch}: take the paper's head"
            )
        self.settings = {
            "embedding_size": embedding_size,
            "patch": patch,
            "channels": list(channels),
            "blocks": list(blocks),
            "detail": detail,
            "dropout": dropout,
        }
        self.patch = patch
        self.steps = math.ceil(math.log2(patch / _FINEST))  # doublings: 2 for patches of 16 and 14, 1 for 8
        widths, depths = tuple(channels)[-self.steps - 1 :], tuple(blocks)[-self.steps - 1 :]
        self.enter = ConvNorm(embedding_size, widths[0])
        self.drop = nn.Dropout2d(dropout)
        self.levels = nn.ModuleList(
            nn.Sequential(*(LiteBlock(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.narrow = nn.ModuleList(ConvNorm(wide, less) for wide, less in itertools.pairwise(widths))
        # The image at half of its side, then as each level but the first sees it, the finest first.
        looks = (detail, *widths[:0:-1])
        self.look = ConvNorm(3, detail, 3, stride=2)
        self.shrink = nn.ModuleList(ConvNorm(size, size, 3, stride=2, groups=size) for size in looks[:-1])
        self.mix = nn.ModuleList(ConvNorm(before, after) for before, after in itertools.pairwise(looks))
        self.leave = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, tokens: Tensor, images: Tensor) -> Tensor:
        """Logits of the lesion, (N, S, S); the sigmoid gives its probability.

        Args:
            tokens: (N, G², D), of the patches in row order, after the final norm.
            images: (N, 3, S, S), S = G · patch, normalised.
        """
        grid = images.shape[-1] // self.patch
        arranged = tokens.transpose(1, 2).unflatten(2, (grid, grid))  # type: ignore[no-untyped-call]
        maps = torch.relu(self.drop(self.enter(arranged)))
        maps = self.levels[0](maps)
        details = self._details(images, grid)
        for narrow, level, detail in zip(self.narrow, self.levels[1:], reversed(details), strict=True):
            maps = level(torch.relu(_enlarged(narrow(maps), 2) + detail))
        logits: Tensor = _enlarged(self.leave(maps), self.patch / 2**self.steps).squeeze(1)
        return logits

    def _details(self, images: Tensor, grid: int) -> list[Tensor]:
        """What the image says at each level but the first, the finest level first."""
        found: list[Tensor] = []
        # A side that the convolutions halve to those of the levels: the image's own, but for a patch of 14.
        side = (grid << self.steps) * _FINEST
        if images.shape[-1] != side:
            images = functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        seen = torch.relu(self.look(images))
        for shrink, mix in zip(self.shrink, self.mix, strict=True):
            seen = mix(shrink(seen))
            found.append(seen)
            seen = torch.relu(seen)
        return found

    def macs(self, image_size: int) -> int:
        """Multiply-adds for one image of `image_size` pixels; see `radiodino.train.segment.macs`."""
        grid = image_size // self.patch
        finest = grid << self.steps
        total = conv_macs(self.enter, grid) + conv_macs(self.leave, finest)
        for step, level in enumerate(self.levels):
            total += sum(cast(LiteBlock, block).macs(grid << step) for block in cast(nn.Sequential, level))
        for step, narrow in enumerate(self.narrow):
            total += conv_macs(narrow, grid << step)
        total += conv_macs(self.look, 2 * finest)
        for step, (shrink, mix) in enumerate(zip(self.shrink, self.mix, strict=True)):
            total += conv_macs(shrink, finest >> step) + conv_macs(mix, finest >> step)
        return total


def _enlarged(maps: Tensor, factor: float) -> Tensor:
    return functional.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
