"""Each image decoded once, into one memory-mapped file of 8-bit pixels, from which crops are cut on the device.

Decoding JPEG or DICOM in every epoch starves an accelerator. Images are stored at one square size, resized as the
model card resizes them for inference (bilinear, aspect ratio not kept), grey ones as one channel.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError, OutputError, UnreadableImageError
from radiodino.runtime.inputs.listing import Listing
from radiodino.runtime.machine import usable_cores
from radiodino.runtime.prefetch import prefetch

_PIXELS, _INDEX = "pixels.npy", "index.json"


@dataclass(frozen=True)
class ImageCache:
    """Decoded images on disk."""

    folder: Path
    pixels: NDArray[np.uint8]
    """Memory-mapped uint8 (N, C, S, S), C = 1 where every image is grey, else 3."""
    names: tuple[str, ...]
    """Of the images, in the order of `pixels`."""
    labels: tuple[str, ...]
    """Likewise; empty text where there is none."""
    unreadable: dict[str, str]
    """Images that could not be decoded, with the reason."""

    def __len__(self) -> int:
        return len(self.names)


def open_cache(
    listing: Listing, folder: Path, size: int, progress: Callable[[int, int], None] | None = None
) -> ImageCache:
    """The cache of `listing` below `folder`, built first where it is not there yet.

    The cache is named by the images' names and the size, so another list gets another one. Files that change under
    the same names are not noticed: delete the folder then.

    Args:
        listing: what to decode (`radiodino.runtime.inputs.listing.list_inputs`).
        folder: where caches are kept.
        size: side of the stored images in pixels.
        progress: is told (done, total) while it is built.

    Raises:
        InputError: where no image can be read, or one has several frames that differ in mode.
        OutputError: where the disk is full or read-only.
    """
    place = folder / f"{_digest(listing, size)}-{size}px"
    if not (place / _INDEX).exists():
        try:
            place.mkdir(parents=True, exist_ok=True)
            _build(listing, place, size, progress or (lambda _done, _total: None))
        except OSError as error:
            raise OutputError(f"cannot write the image cache {place}: {error.strerror or error}") from error
    index = json.loads((place / _INDEX).read_text(encoding="utf-8"))
    pixels = np.load(place / _PIXELS, mmap_mode="r")
    return ImageCache(place, pixels, tuple(index["names"]), tuple(index["labels"]), index["unreadable"])


@dataclass(frozen=True)
class _Decoded:
    name: str
    label: str
    images: Sequence[Image.Image] = ()
    reason: str | None = None


def _build(listing: Listing, place: Path, size: int, progress: Callable[[int, int], None]) -> None:
    """Decode everything: once to rows of three channels, then, if all were grey, only one of them is kept."""
    names: list[str] = []
    labels: list[str] = []
    unreadable: dict[str, str] = {}
    all_grey = True
    items = iter(listing)

    def read(item: object) -> _Decoded:
        name, label = item.name, item.label  # type: ignore[attr-defined]
        try:
            frames = [frame.image for frame in decode(item.load())]  # type: ignore[attr-defined]
        except UnreadableImageError as error:
            return _Decoded(name, label, reason=error.reason)
        resized = [image.resize((size, size), Image.Resampling.BILINEAR) for image in frames]
        return _Decoded(name, label, resized)

    raw = place / "pixels.partial"
    with raw.open("wb") as stream:
        workers = usable_cores()
        for done, found in enumerate(prefetch(items, read, workers, 4 * workers), 1):
            if found.reason is not None:
                unreadable[found.name] = found.reason
            for number, image in enumerate(found.images, 1):
                all_grey &= image.mode == "L"
                stream.write(np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes())
                names.append(found.name if len(found.images) == 1 else f"{found.name}#{number}")
                labels.append(found.label)
            progress(done, len(listing))
    if not names:
        raw.unlink()
        raise InputError(
            f"none of the {len(listing)} images can be read: {next(iter(unreadable.values()), 'no images')}"
        )
    rows = np.memmap(raw, np.uint8, "r", shape=(len(names), 3, size, size))
    with atomic_path(place / _PIXELS, overwrite=True) as temporary:
        channels = 1 if all_grey else 3
        stored = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(names), channels, size, size))
        for start in range(0, len(names), 1024):
            stored[start : start + 1024] = rows[start : start + 1024, :channels]
        stored.flush()
    raw.unlink()
    with atomic_path(place / _INDEX, overwrite=True) as temporary:
        temporary.write_text(json.dumps({"names": names, "labels": labels, "unreadable": unreadable}), encoding="utf-8")


def _digest(listing: Listing, size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    for item in listing:
        digest.update(f"{item.name}\0{item.label}\0".encode())
    return digest.hexdigest()[:16]
