"""Each image decoded once, into one memory-mapped file of 8-bit pixels, from which crops are cut on the device.

Decoding JPEG or DICOM in every epoch starves an accelerator. Images are stored at one square size, resized as the
model card resizes them for inference (bilinear, aspect ratio not kept), grey ones as one channel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import UnreadableImageError
from radiodino.runtime.inputs.item import Item
from radiodino.runtime.inputs.listing import Listing

from .data_image import DataImage
from .listing import DataListing, described, root_of
from .stamps import stamps
from .store import Made, open_store
from .unreadable import unreadable_sentence

_FORMAT = "radiodino.images/1"


@dataclass(frozen=True)
class ImageCache:
    """Decoded images on disk."""

    folder: Path
    pixels: NDArray[np.uint8]
    """Memory-mapped uint8 (N, C, S, S), C = 1 where every image is grey, else 3."""
    names: tuple[str, ...]
    """Of the images, in the order of `pixels`; ``NAME#FRAME`` of a file with several."""
    labels: tuple[str, ...]
    """Likewise; empty text where there is none."""
    sources: tuple[str, ...]
    """Likewise: the archive, image set, folder or manifest that it is a part of (`DataListing.sources`)."""
    unreadable: dict[str, str]
    """Images that could not be decoded, with the reason."""
    splits: tuple[str, ...]
    """Of each image what its data set or manifest says: ``train``, ``val``, ``test``, or empty text."""
    keys: tuple[str, ...]
    """Of each image what it is called on every machine (`DataImage.key`); the frames of a file share one."""
    listed: int
    """Images or files that were to be decoded."""
    remarks: tuple[str, ...]
    """What a user must be told of the inputs."""

    def __len__(self) -> int:
        return len(self.names)

    def notes(self) -> list[str]:
        """What a user must be told, as sentences: `remarks`, and which images cannot be read."""
        sentence = unreadable_sentence(self.unreadable, self.listed)
        return [*self.remarks, *([sentence] if sentence else [])]


def open_cache(
    listing: Listing | DataListing, folder: Path, size: int, progress: Callable[[int, int], None] | None = None
) -> ImageCache:
    """The cache of `listing` below `folder`, built first where it is not there yet (`store`).

    The cache is named by the size and by the state of the files (`stamps`): others, or one that was replaced, get
    another one.

    Args:
        listing: what to decode (`list_data`, or the runtime's `list_inputs`).
        folder: where caches are kept.
        size: side of the stored images in pixels.
        progress: is told (done, total) while it is built.

    Raises:
        InputError: where no image can be read.
        OutputError: where the disk is full or read-only, or the cache is damaged.
    """
    if isinstance(listing, Listing):
        listing = DataListing(described(listing, root_of), tuple(listing.notes()))
    place = folder / f"{digest_of((image.item for image in listing), _FORMAT)}-{size}px"
    store = open_store(place, listing.images, lambda image: _decoded(image, size), size, progress=progress)
    names: list[str] = []
    kept: list[int] = []
    for position, (image, count) in enumerate(zip(listing, store.counts, strict=True)):
        name = image.item.name
        names += [name] if count == 1 else [f"{name}#{number}" for number in range(1, count + 1)]
        kept += [position] * count
    sources = listing.sources()
    return ImageCache(
        place,
        store.rows,
        tuple(names),
        tuple(listing[position].label for position in kept),
        tuple(sources[position] for position in kept),
        {listing[position].item.name: reason for position, reason in store.reasons.items()},
        tuple(listing[position].split for position in kept),
        tuple(listing[position].key for position in kept),
        len(listing),
        listing.remarks,
    )


def digest_of(items: Iterable[Item], kind: str) -> str:
    """16 hexadecimal digits for the state of the files of `items`, and for what is made of them."""
    digest = hashlib.sha256(kind.encode())
    for stamp in stamps(items):
        digest.update(f"\0{stamp}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def planes(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """An 8-bit image of mode ``L`` or ``RGB`` resized as the model card does: uint8 (1 or 3, `size`, `size`)."""
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _decoded(image: DataImage, size: int) -> Made:
    try:
        rows = [planes(frame.image, size) for frame in decode(image.item.load())]
    except UnreadableImageError as error:
        return Made(reason=error.reason)
    return Made(rows) if rows else Made(reason="it holds no image")
