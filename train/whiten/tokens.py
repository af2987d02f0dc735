"""What enters the last MLP of a network and what leaves it, for images as they are and for crops of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count as naturals
from typing import Any

import torch
from torch import Tensor, nn

from ..data.image_cache import ImageCache
from ..data.normalise import normalise
from ..pretrain.sampler import Balance, generator
from ..ssl.crop_parameters import draw_global
from ..ssl.crop_settings import CropSettings
from ..ssl.crops import make_crops

PATCHES = 1
"""Patch tokens that are kept of each image beside the CLS token."""
_AT_ONCE = 64
_CROPS, _PLACES = 6, 7  # purposes of random numbers


@dataclass(frozen=True)
class Tokens:
    """Tokens of the last block: the CLS token of each of N images, then `PATCHES` random patches of it."""

    entering: Tensor
    """(N, 1 + PATCHES, D), float32: the residual stream after attention, before the MLP's norm."""
    leaving: Tensor
    """(N, 1 + PATCHES, D), float32: after the final norm."""


@torch.no_grad()
def gather_tokens(
    backbone: nn.Module,
    images: ImageCache,
    count: int,
    crops: CropSettings,
    *,
    seed: int,
    device: torch.device,
    autocast: bool,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Tokens:
    """The tokens of `count` images, equally many of each source.

    An image that is drawn for the first time is taken as it is; when a source has no more, crops of its images are.

    Args:
        backbone: of `radiodino.train.backbone.build_backbone`, evaluating, on `device`.
        images: decoded at the size that `backbone` takes.
        count: N.
        crops: of which the global one is taken; normalisation is the model card's.
        seed: of order, crops and places.
        device: where to compute.
        autocast: whether in bf16.
        progress: is told (done, total) images.
    """
    vit: Any = backbone
    entered: list[Tensor] = []
    hook = vit.blocks[-1].norm2.register_forward_pre_hook(lambda _module, given: entered.append(given[0]))
    order = _order(images, count, seed)
    seen: set[int] = set()
    entering: list[Tensor] = []
    leaving: list[Tensor] = []
    try:
        for start in range(0, count, _AT_ONCE):
            chosen = order[start : start + _AT_ONCE]
            pixels = torch.from_numpy(images.pixels[chosen.numpy()])
            batch = normalise(pixels)
            again = torch.tensor([index in seen for index in chosen.tolist()])
            seen.update(chosen.tolist())
            if again.any():
                height, width = pixels.shape[-2:]
                drawn = draw_global(crops, int(again.sum()), height, width, generator(seed, start, _CROPS))
                batch[again] = make_crops(pixels[again], drawn, pixels.shape[-1], crops)[0]
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                left = vit.forward_features(batch.to(device))
            places = torch.randint(1, left.shape[1], (len(left), PATCHES), generator=generator(seed, start, _PLACES))
            places = torch.cat([torch.zeros(len(left), 1, dtype=torch.int64), places], dim=1).to(device)
            for found, kept in ((entered.pop(), entering), (left, leaving)):
                kept.append(found.gather(1, places[..., None].expand(-1, -1, found.shape[-1])).float().cpu())
            progress(min(start + _AT_ONCE, count), count)
    finally:
        hook.remove()
    return Tokens(torch.cat(entering), torch.cat(leaving))


def _order(images: ImageCache, count: int, seed: int) -> Tensor:
    balance, drawn, total = Balance(images.sources, 1.0), [], 0
    for epoch in naturals():
        drawn.append(balance.order(seed, epoch))
        total += len(drawn[-1])
        if total >= count:
            break
    return torch.cat(drawn)[:count]
