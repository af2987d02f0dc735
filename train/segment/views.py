"""Versions of an image and its mask, as training sees them: moved, scaled, flipped, brighter or darker.

A version is a function of a seed, the image and the version's number alone, so that it can be made again.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..data.normalise import normalise
from ..pretrain.sampler import generator
from .recipe import ViewRecipe

_VIEW = 5  # a purpose of random numbers
_AS_IT_IS, _FLIPPED = 0, 1


def make_views(
    pixels: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    places: NDArray[np.int64],
    views: NDArray[np.int64],
    recipe: ViewRecipe,
    seed: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """One version of each of some images.

    Args:
        pixels: (N, C, S, S), of all images.
        masks: (N, S, S), 0 or 1, likewise.
        places: (B,): which of them.
        views: (B,): which version of each: 0 as it is, 1 flipped, any other a random one of its own.
        recipe: how far a random one goes.
        seed: of the random ones.
        device: where to make them.

    Returns:
        Images (B, 3, S, S), float32, normalised; and masks (B, S, S), float32, 0 or 1.
    """
    images = torch.from_numpy(np.ascontiguousarray(pixels[places])).to(device)
    truths = torch.from_numpy(np.ascontiguousarray(masks[places])).to(device).float()
    drawn = [_draw(int(place), int(view), recipe, seed) for place, view in zip(places, views, strict=True)]
    if all(view == _AS_IT_IS for view in views):
        return normalise(images), truths
    boxes = torch.stack([box for box, _ in drawn]).to(device)
    tones = torch.stack([tone for _, tone in drawn]).to(device)[:, :, None, None, None]
    shape = [len(places), 1, *truths.shape[1:]]
    grid = functional.affine_grid(boxes, shape, align_corners=False)
    moved = functional.grid_sample(images.float() / 255, grid, padding_mode="zeros", align_corners=False)
    moved_truths = functional.grid_sample(truths[:, None], grid, padding_mode="zeros", align_corners=False)[:, 0]
    grey = moved.mean(dim=(1, 2, 3), keepdim=True)
    toned = ((moved - grey) * tones[:, 1] + grey) * tones[:, 0]
    return normalise(toned.clamp_(0, 1)), (moved_truths >= 0.5).float()


def _draw(place: int, view: int, recipe: ViewRecipe, seed: int) -> tuple[Tensor, Tensor]:
    """The affine map (2, 3) from the version's coordinates to the image's; factors of brightness and contrast."""
    if view in (_AS_IT_IS, _FLIPPED):
        return torch.tensor([[-1.0 if view else 1.0, 0, 0], [0, 1, 0]]), torch.ones(2)
    uniform = torch.rand(6, generator=generator(seed, place, view, _VIEW))
    scale = recipe.zoom ** float(2 * uniform[0] - 1)
    shift = 2 * recipe.shift * (2 * uniform[1:3] - 1)  # the side is 2 long in these coordinates
    flip = -1.0 if uniform[3] < 0.5 else 1.0
    box = torch.tensor([[flip / scale, 0, float(shift[0])], [0, 1 / scale, float(shift[1])]])
    return box, 1 + recipe.brightness * (2 * uniform[4:6] - 1)
