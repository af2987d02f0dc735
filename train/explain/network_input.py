"""From decoded 8-bit images to what a network takes, and through it in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radiodino.runtime.errors import InputError

from ..data.normalise import normalise


def network_input(pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Images as the model card normalises them (``ToTensor``, then ImageNet's mean and standard deviation).

    Args:
        pixels: uint8 (N, C, S, S), C = 1 (taken as three equal channels) or 3, already of the network's size.
        device: where the result shall be.

    Returns:
        float32 (N, 3, S, S).

    Raises:
        InputError: where the array is another.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise InputError(
            f"expected images of uint8 and shape (N, 1 or 3, S, S), found {pixels.dtype} of shape {pixels.shape}: "
            "decode them with open_images"
        )
    return normalise(torch.from_numpy(np.array(pixels)).to(device))


def batches(
    pixels: NDArray[np.uint8],
    device: torch.device | str,
    batch_size: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Tensor]:
    """`network_input` of `pixels` in order, at most `batch_size` at a time; `progress` is told (done, total).

    Raises:
        InputError: where the batch size is below 1, or see `network_input`.
    """
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, not {batch_size}")
    for start in range(0, len(pixels), batch_size):
        yield network_input(pixels[start : start + batch_size], device)
        progress(min(start + batch_size, len(pixels)), len(pixels))


def check_images(backbone: nn.Module, images: Tensor) -> int:
    """See that `images` fit a module of `radiodino.train.backbone.build_backbone`.

    Returns:
        Patches along one side.

    Raises:
        InputError: where they do not.
    """
    size, grid = (int(backbone.patch_embed.img_size[0]), int(backbone.patch_embed.grid_size[0]))  # type: ignore[union-attr, index]
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise InputError(
            f"expected images of shape (N, 3, {size}, {size}), as the network was built for, found "
            f"{tuple(images.shape)}: resize the images, or load the weights with their image_size"
        )
    return grid
