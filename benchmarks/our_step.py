"""The steps of `radiodino.train.pretrain.loop.pretrain` one at a time, without its log and its checkpoints."""

from __future__ import annotations

import torch

from radiodino.train.data.image_cache import ImageCache
from radiodino.train.pretrain.recipe import Recipe
from radiodino.train.pretrain.training import Training


class OurStep(Training):
    """One training step after another, with its data path, in one process.

    Args:
        recipe: of the run.
        images: what it learns from.
        device: where it computes.
        first: the step to begin with.

    Raises:
        InputError: where the images are fewer than one batch.
    """

    def __init__(self, recipe: Recipe, images: ImageCache, device: torch.device, first: int = 0) -> None:
        from lightning_fabric import Fabric

        fabric = Fabric(accelerator=device.type, devices=1, precision=recipe.precision)  # type: ignore[arg-type]
        fabric.launch()
        super().__init__(recipe, images, fabric)
        self.step = first

    def __call__(self) -> float:
        """Learn from the next batch.

        Returns:
            Seconds spent on waiting for its crops.
        """
        before = self.waited
        self.learn()
        return self.waited - before
