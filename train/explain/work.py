"""What all pictures of one explanation share: images, weights, the heading, where files go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.listing import list_data
from ..data.mask_pairs import open_pairs
from ..features.bar import Bar
from ..weights.load import WeightsSource, load_weights
from ..weights.wording import some_of
from .choice import ShownImages, chosen_images, spread
from .network_input import batches
from .page import Heading, save_png
from .settings import Settings

OUTLINES = " Blue outlines: masks."


@dataclass
class Work:
    """One explanation under way."""

    settings: Settings
    data: tuple[str, ...]
    masks: tuple[str, ...]
    out: Path
    device: torch.device
    cache: Path | None
    bar: Bar

    def __post_init__(self) -> None:
        self.files: list[Path] = []
        self.sources: list[WeightsSource] = []
        self.unreadable: dict[str, str] = {}
        self.decoding: dict[str, str] = {}
        self.remarks: dict[str, None] = {}

    def backbone(self, size: int) -> nn.Module:
        """The backbone for images of `size`."""
        model, source = load_weights(
            self.settings.variant,
            self.settings.weights,
            image_size=size,
            seed=self.settings.seed,
            checkpoint_key=self.settings.checkpoint_key,
        )
        self.sources.append(source)
        return model.to(self.device)

    def shown(self, size: int, inputs: tuple[str, ...]) -> ShownImages:
        """Images to show, with their masks where `inputs` are those of the masks."""
        count = self.settings.count
        if inputs is self.masks:
            pairs = self.pairs(size)
            return taken(pairs, chosen_places(pairs.labels, count))
        listing = list_data(inputs)
        if self.settings.split is not None:
            listing = listing.only(self.settings.split)
        self.remarks |= dict.fromkeys(listing.remarks)
        found = chosen_images([one.item for one in listing], [one.label for one in listing], size, count)
        self.unreadable |= found.unreadable
        self.decoding |= found.notices
        return found

    def pairs(self, size: int) -> ShownImages:
        """All images with masks."""
        with self.bar("decoding") as progress:
            pairs = open_pairs(list(self.masks), size, self.cache, progress)
        self.unreadable |= pairs.skipped
        self.remarks |= dict.fromkeys(pairs.remarks)
        return ShownImages(pairs.pixels, pairs.names, pairs.labels, pairs.masks > 0)

    def batches(self, what: str, images: ShownImages) -> Iterator[Tensor]:
        """Network input, with a bar that is called `what`."""
        with self.bar(what) as progress:
            yield from batches(images.pixels, self.device, self.settings.batch_size, progress)

    def heading(self, title: str, size: int, inputs: Sequence[str], note: str) -> Heading:
        """What stands above and below a picture."""
        source = self.sources[-1]
        notice = source.notice
        facts = (
            self.settings.variant.paper_name,
            f"weights {source.name} (SHA-256 {source.sha256[:8]}…)",
            f"data {some_of([Path(one).name for one in inputs])}",
            f"{size} × {size} px, patch {self.settings.variant.patch}",
            *([notice[:1].upper() + notice[1:]] if notice else []),
        )
        return Heading(title, facts, note)

    def save(self, name: str, figure: Any) -> str:
        """Write a picture; its name."""
        path = self.out / f"{name}.png"
        save_png(figure, path)
        self.files.append(path)
        return path.name


def chosen_places(labels: Sequence[str], count: int) -> list[int]:
    """The `count` images to show, rising."""
    return sorted(islice(spread(labels), count))


def taken(images: ShownImages, places: Sequence[int]) -> ShownImages:
    """Those of `images` at `places`."""
    return ShownImages(
        np.ascontiguousarray(images.pixels[places]),
        tuple(images.names[place] for place in places),
        tuple(images.labels[place] for place in places),
        None if images.masks is None else images.masks[places],
    )
