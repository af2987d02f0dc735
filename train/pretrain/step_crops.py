"""The crops of one step, a function of the seed and the step alone, for any number of processes."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from ..ssl.classic_crops import classic_crops
from ..ssl.crop_parameters import draw_global, draw_local
from ..ssl.crop_settings import CropSettings
from ..ssl.crops import make_crops
from .recipe import Recipe
from .sampler import generator

_CROPS = 1  # a purpose of random numbers


def make_step_crops(
    pixels: Tensor,
    recipe: Recipe,
    step: int,
    rank: int,
    ranks: int,
    device: torch.device,
    settings: CropSettings | None = None,
) -> list[Tensor]:
    """Global crops (2, B, 3, S, S) and, if any, local crops (L, B, 3, s, s) of this rank's images, float32, normalised.

    Args:
        pixels: (B, C, H, W), uint8, C = 1 or 3, on the CPU.
        recipe: says how large the crops are, and whether they are cut in batches on the device or one by one.
        step: of the run.
        rank: this process; the choices for its images do not depend on how many processes there are.
        ranks: how many processes.
        device: where the crops shall be.
        settings: of the crops; None: those that the recipe ends with.
    """
    make = _on_device if recipe.augment == "device" else _one_by_one
    return make(pixels, settings or recipe.crops, recipe.seed, step, rank, ranks, device)


def _on_device(
    pixels: Tensor, settings: CropSettings, seed: int, step: int, rank: int, ranks: int, device: torch.device
) -> list[Tensor]:
    local = pixels.shape[0]
    height, width = pixels.shape[-2:]
    random = generator(seed, step, _CROPS)
    mine = slice(rank * local, (rank + 1) * local)
    choices = [draw_global(settings, local * ranks, height, width, random)]
    sizes = [settings.global_size]
    if settings.local_count:
        choices.append(draw_local(settings, local * ranks, height, width, random))
        sizes.append(settings.local_size)
    images = pixels.to(device, non_blocking=True)
    return [
        make_crops(images, choice.samples(mine), size, settings) for choice, size in zip(choices, sizes, strict=True)
    ]


def _one_by_one(
    pixels: Tensor, settings: CropSettings, seed: int, step: int, rank: int, ranks: int, device: torch.device
) -> list[Tensor]:
    del ranks
    local = pixels.shape[0]
    samples = []
    for index, image in enumerate(pixels):
        array = image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy()
        random = generator(seed, step, _CROPS, rank * local + index)
        samples.append(classic_crops(Image.fromarray(array), settings, random))
    wide = torch.stack([torch.stack(crops[:2]) for crops in samples], dim=1)
    if not settings.local_count:
        return [wide.to(device)]
    return [wide.to(device), torch.stack([torch.stack(crops[2:]) for crops in samples], dim=1).to(device)]
