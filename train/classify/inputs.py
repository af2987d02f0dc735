"""What a network is fed in training and in validation: images, or the features of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.normalise import normalise
from ..pretrain.sampler import generator
from .augment import autoaugment

_AUGMENT = 1  # a purpose of random numbers, beside the order of an epoch (0) and the head's start (2)


class Inputs(Protocol):
    """Batches by the images' indices; safe to be called from several threads."""

    def training(self, indices: NDArray[np.int64], fold: int, epoch: int) -> Tensor:
        """A batch on the CPU for learning, a function of the arguments alone."""

    def plain(self, indices: NDArray[np.int64]) -> Tensor:
        """A batch on the CPU for validation and test."""

    def prepare(self, batch: Tensor) -> Tensor:
        """What the network takes, from a batch that was moved to its device."""


@dataclass(frozen=True)
class ImageInputs:
    """Images, with or without augmentation."""

    pixels: NDArray[np.uint8]
    """(N, C, S, S), C = 1 or 3."""
    augment: str
    """See `radiodino.train.classify.recipe.Recipe`."""
    seed: int

    def training(self, indices: NDArray[np.int64], fold: int, epoch: int) -> Tensor:
        """uint8 (B, C, S, S): each image augmented by a generator of its own, so that no order or thread matters."""
        if self.augment == "none":
            return self.plain(indices)
        images = [
            autoaugment(self.pixels[index], generator(self.seed, fold, epoch, _AUGMENT, index))
            for index in indices.tolist()
        ]
        return torch.from_numpy(np.stack(images))

    def plain(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 (B, C, S, S)."""
        return torch.from_numpy(self.pixels[indices])

    def prepare(self, batch: Tensor) -> Tensor:
        """float32 (B, 3, S, S), as the model card normalises: ``ToTensor``, then ImageNet's mean and deviation."""
        return normalise(batch)


@dataclass(frozen=True)
class FeatureInputs:
    """Features that were computed once."""

    features: Tensor
    """float32 (N, D), on the CPU."""

    def training(self, indices: NDArray[np.int64], fold: int, epoch: int) -> Tensor:
        """float32 (B, D), the same in every fold and epoch."""
        del fold, epoch
        return self.plain(indices)

    def plain(self, indices: NDArray[np.int64]) -> Tensor:
        """float32 (B, D)."""
        return self.features[torch.from_numpy(indices)]

    def prepare(self, batch: Tensor) -> Tensor:
        """The same."""
        return batch
