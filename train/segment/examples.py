"""Batches for the training of a head: the frozen backbone's tokens, the images and the masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .pairs import SplitPairs
from .recipe import SegmentRecipe
from .tokens import StoredTokens, patch_tokens
from .views import make_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric

EVALUATED_AT_ONCE = 4  # images, so that the paper's head needs no more than 1 GB at 448 px


class Batch(NamedTuple):
    """Some images, B of them."""

    tokens: Tensor
    """(B, G², D), float32, of the patches."""
    images: Tensor
    """(B, 3, S, S), float32, normalised."""
    masks: Tensor
    """(B, S, S), float32, 0 or 1."""


class Examples:
    """Training and validation batches.

    Flipping or scaling an image changes its tokens. So the backbone is run on `recipe.views.count` versions of each
    training image beforehand, and every epoch takes the next of them; with 0 it is run in every step on new versions.

    Args:
        split: images and masks, S × S.
        backbone: frozen, for images of this size, on `fabric`'s device.
        recipe: of the training.
        fabric: device and precision of the training's tokens; those of validation are computed in float32.
        folder: where tokens are kept meanwhile; it must exist.
        progress: is told (done, total) images while they are computed.

    Raises:
        OutputError: where the tokens do not fit on the disk.
    """

    def __init__(
        self,
        split: SplitPairs,
        backbone: nn.Module,
        recipe: SegmentRecipe,
        fabric: Fabric,
        folder: Path,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._split, self._backbone, self._recipe, self._fabric = split, backbone, recipe, fabric
        self._train: StoredTokens | None = None
        self._val: StoredTokens | None = None
        if not recipe.views.count:
            return
        train, val = split.places["train"], split.places["val"]
        # A version of all images before the next version: the first pass, without a change, is the plain images'.
        places, views = np.tile(train, recipe.views.count), np.repeat(np.arange(recipe.views.count), len(train))
        vit = cast(Any, backbone)
        patches, size = int(vit.patch_embed.num_patches), int(vit.embed_dim)
        total = len(places) + len(val)
        self._train = StoredTokens(len(places), patches, size, half=True, folder=folder)
        self._val = StoredTokens(len(val), patches, size, half=False, folder=folder)
        self._train.fill(
            backbone,
            lambda start, end: self._views(places[start:end], views[start:end])[0],
            fabric.autocast,
            lambda done, _: progress(done, total),
        )
        self._val.fill(
            backbone,
            lambda start, end: self._plain(val[start:end])[0],
            progress=lambda done, _: progress(len(places) + done, total),
        )

    def __len__(self) -> int:
        """How many training images there are."""
        return len(self._split.places["train"])

    def training(self, rows: NDArray[np.int64], epoch: int) -> Batch:
        """The version that is due in `epoch` of some training images.

        Args:
            rows: (B,): which of the training images, from 0.
            epoch: from 0.
        """
        places, count = self._split.places["train"][rows], self._recipe.views.count
        if self._train is None:  # 0 and 1 are no random versions
            images, masks = self._views(places, np.full(len(rows), epoch + 2))
            with torch.no_grad(), self._fabric.autocast():
                return Batch(patch_tokens(self._backbone, images).float(), images, masks)
        views = (rows + epoch) % count
        images, masks = self._views(places, views)
        return Batch(self._train.read(views * len(self) + rows, self._fabric.device), images, masks)

    def validation(self) -> Iterator[Batch]:
        """All validation images as they are, a few at a time."""
        places = self._split.places["val"]
        for start in range(0, len(places), EVALUATED_AT_ONCE):
            part = slice(start, min(start + EVALUATED_AT_ONCE, len(places)))
            images, masks = self._plain(places[part])
            if self._val is not None:
                yield Batch(self._val.read(part, self._fabric.device), images, masks)
                continue
            with torch.no_grad():
                tokens = patch_tokens(self._backbone, images)
            yield Batch(tokens, images, masks)

    def _views(self, places: NDArray[np.int64], views: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        pairs = self._split.pairs
        recipe = self._recipe
        return make_views(pairs.pixels, pairs.masks, places, views, recipe.views, recipe.seed, self._fabric.device)

    def _plain(self, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return self._views(places, np.zeros(len(places), np.int64))
