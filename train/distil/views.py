"""What a network says of images at several sizes, and what enters its last blocks at the size that is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count as naturals
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.image_cache import ImageCache
from ..data.normalise import normalise
from ..pretrain.sampler import Balance, generator
from ..ssl.crop_parameters import draw_global
from ..ssl.crop_settings import CropSettings
from ..ssl.crops import make_crops

_AT_ONCE = 64
_CROPS = 6  # a purpose of random numbers


@dataclass(frozen=True)
class Views:
    """Of N images."""

    entering: Tensor
    """(N, 1 + P, D), bfloat16: tokens that enter the last blocks at the largest size."""
    features: dict[str, Tensor]
    """For each size the CLS tokens (``cls 224``) and the mean of the patch tokens (``patches 224``) after the final
    norm, float32 (N, D)."""


@torch.no_grad()
def gather_views(
    backbones: Mapping[int, nn.Module],
    images: ImageCache,
    count: int,
    blocks: int,
    *,
    seed: int,
    device: torch.device,
    autocast: bool,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Views:
    """The views of `count` images, equally many of each source.

    An image that is drawn for the first time is taken as it is; when a source has no more, mild crops are taken.

    Args:
        backbones: size in pixels → the same network for that size, evaluating, on `device`.
        images: decoded at the largest of the sizes.
        count: N.
        blocks: how many are the last.
        seed: of order and crops.
        device: where to compute.
        autocast: whether in bf16.
        progress: is told (done, total) images.
    """
    largest = max(backbones)
    vit: Any = backbones[largest]
    entered: list[Tensor] = []
    hook = vit.blocks[-blocks].register_forward_pre_hook(lambda _module, given: entered.append(given[0]))
    order, seen = _order(images, count, seed), set[int]()
    entering: list[Tensor] = []
    features: dict[str, list[Tensor]] = {}
    try:
        for start in range(0, count, _AT_ONCE):
            chosen = order[start : start + _AT_ONCE]
            pixels = torch.from_numpy(images.pixels[chosen.numpy()])
            batch = normalise(pixels)
            again = torch.tensor([index in seen for index in chosen.tolist()])
            seen.update(chosen.tolist())
            if again.any():
                settings = _crops(largest)
                drawn = draw_global(settings, int(again.sum()), largest, largest, generator(seed, start, _CROPS))
                batch[again] = make_crops(pixels[again], drawn, largest, settings)[0]
            batch = batch.to(device)
            for size, backbone in backbones.items():
                seeing: Any = backbone
                resized = batch
                if size != largest:
                    resized = functional.interpolate(batch, size=(size, size), mode="bilinear", antialias=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                    tokens = seeing.forward_features(resized).float().cpu()
                features.setdefault(f"cls {size}", []).append(tokens[:, 0])
                features.setdefault(f"patches {size}", []).append(tokens[:, 1:].mean(dim=1))
            entering.append(entered.pop().to("cpu", torch.bfloat16))
            progress(min(start + _AT_ONCE, count), count)
    finally:
        hook.remove()
    return Views(torch.cat(entering), {name: torch.cat(parts) for name, parts in features.items()})


def _order(images: ImageCache, count: int, seed: int) -> Tensor:
    balance, drawn, total = Balance(images.sources, 1.0), [], 0
    for epoch in naturals():
        drawn.append(balance.order(seed, epoch))
        total += len(drawn[-1])
        if total >= count:
            break
    return torch.cat(drawn)[:count]


def _crops(size: int) -> CropSettings:
    """Most of the image, brighter or darker."""
    return CropSettings(
        global_size=size,
        local_size=size,
        local_count=0,
        global_scale=(0.6, 1.0),
        brightness=0.2,
        contrast=0.2,
        saturation=0.0,
        hue=0.0,
        grey=0.0,
        blur=(0.0, 0.0, 0.0),
        solarise=(0.0, 0.0, 0.0),
        jitter=0.5,
    )
