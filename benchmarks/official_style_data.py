"""The data path of DINO's training: each file decoded anew, each crop made with torchvision, in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from radiodino.train.ssl.classic_crops import classic_crops
from radiodino.train.ssl.crop_settings import CropSettings

_ENDLESS = 1 << 40  # draws; whoever takes the batches stops


@dataclass(frozen=True)
class CropsOfFiles(Dataset[list[Tensor]]):
    """Multi-crops of image files, as an `ImageFolder` with DINO's augmentation gives them."""

    files: Sequence[Path]
    settings: CropSettings

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> list[Tensor]:
        """Crops (3, S, S), float32, normalised: 2 global ones, then the local ones."""
        with Image.open(self.files[index]) as image:
            colour = image.convert("RGB")
        return classic_crops(colour, self.settings, torch.default_generator)  # which a DataLoader seeds in each worker


def official_style_batches(
    files: Sequence[Path], settings: CropSettings, batch_size: int, workers: int, device: torch.device
) -> Iterator[list[Tensor]]:
    """Endless batches of crops, (B, 3, S, S) each, of files drawn at random.

    Args:
        files: images that Pillow opens.
        settings: of the crops.
        batch_size: B.
        workers: processes that make them ahead; they end with the iterator.
        device: batches for CUDA lie in page-locked memory.
    """
    dataset = CropsOfFiles(files, settings)
    # Forked workers begin at once; others import PyTorch first.
    forked = workers and "fork" in multiprocessing.get_all_start_methods()
    return iter(
        DataLoader(
            dataset,
            batch_size,
            sampler=RandomSampler(dataset, replacement=True, num_samples=_ENDLESS),
            num_workers=workers,
            multiprocessing_context="fork" if forked else None,
            pin_memory=device.type == "cuda",
            drop_last=True,
        )
    )
