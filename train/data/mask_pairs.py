"""Images with their segmentation masks, from BUSI's own layout or from images/ and masks/ next to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.home import home
from radiodino.runtime.inputs.item import Item
from radiodino.runtime.machine import usable_cores
from radiodino.runtime.pixels import FAINT
from radiodino.runtime.prefetch import prefetch

from .image_cache import digest_of, planes
from .listing import list_data
from .store import Made, open_store

_FORMAT = "radiodino.pairs/1"


@dataclass(frozen=True, slots=True)
class MaskPair:
    """One image and its masks, not decoded."""

    image: Item
    masks: tuple[Item, ...]
    """One or several, of as many lesions."""
    name: str
    """Of the image."""
    label: str
    """Empty text where there is none."""
    source: str
    """See `DataListing.sources`."""
    key: str
    """See `DataImage.key`."""


@dataclass(frozen=True)
class MaskPairs:
    """Images with masks, and what was left out."""

    pairs: tuple[MaskPair, ...]
    skipped: dict[str, str]
    """Reasons, by the name of the image (of a mask whose image is missing: of the mask)."""
    remarks: tuple[str, ...]
    """What a user must be told of the inputs."""


@dataclass(frozen=True)
class DecodedPairs:
    """Decoded images and masks on disk."""

    pixels: NDArray[np.uint8]
    """Memory-mapped uint8 (N, C, S, S), C = 1 where every image is grey, else 3."""
    masks: NDArray[np.uint8]
    """Memory-mapped uint8 (N, S, S), 1 where a lesion is, else 0."""
    names: tuple[str, ...]
    labels: tuple[str, ...]
    """Empty text where there is none."""
    sources: tuple[str, ...]
    """See `DataListing.sources`."""
    skipped: dict[str, str]
    """See `MaskPairs.skipped`."""
    keys: tuple[str, ...]
    """See `DataImage.key`; for `assign_splits`."""
    remarks: tuple[str, ...]
    """What a user must be told of the inputs."""

    def __len__(self) -> int:
        return len(self.names)


def mask_pairs(inputs: Sequence[str]) -> MaskPairs:
    """The images behind `inputs` with their masks; each is decoded once to see that it can be.

    The masks are found by their names (`layouts`). Several masks of one image are united. A pair is skipped, and named
    with the reason, where the image has no mask, one of them cannot be read, is no binary mask or is not of the size
    of the image: a mask is never resized to fit. Empty masks (of normal images) are kept.

    Args:
        inputs: folders, files, globs or zip archives.

    Raises:
        InputError: see `list_data`; no image has a mask that fits.
    """
    found = _listed(inputs)
    skipped, fitting = dict(found.skipped), []
    workers = usable_cores()
    with closing(prefetch(found.pairs, _unfit, workers, 4 * workers)) as reasons:
        for pair, reason in zip(found.pairs, reasons, strict=True):
            if reason is None:
                fitting.append(pair)
            else:
                skipped[pair.name] = reason
    if not fitting:
        raise InputError(f"none of the {len(skipped)} images has a mask that fits: {next(iter(skipped.values()))}")
    return MaskPairs(tuple(fitting), skipped, found.remarks)


def open_pairs(
    inputs: Sequence[str],
    size: int,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DecodedPairs:
    """The images behind `inputs` with their masks (`mask_pairs`), decoded once and resized to `size` × `size`.

    Images are resized as the model card does (bilinear), masks to the nearest pixel; both are compared in their own
    size first.

    Args:
        inputs: see `mask_pairs`.
        size: S, side of the stored images in pixels.
        cache: where decoded images are kept; None: in `RADIODINO_HOME`.
        progress: is told (done, total) while they are decoded.

    Raises:
        InputError: see `mask_pairs`.
        OutputError: where the disk is full or read-only.
    """
    found = _listed(inputs)
    items = (item for pair in found.pairs for item in (pair.image, *pair.masks, _NEXT))
    place = (cache or home() / "images") / f"{digest_of(items, _FORMAT)}-{size}px"
    store = open_store(place, found.pairs, lambda pair: _made(pair, size), size, extra=1, progress=progress)
    kept = [pair for pair, count in zip(found.pairs, store.counts, strict=True) if count]
    return DecodedPairs(
        store.rows[:, :-1],
        store.rows[:, -1],
        tuple(pair.name for pair in kept),
        tuple(pair.label for pair in kept),
        tuple(pair.source for pair in kept),
        found.skipped | {found.pairs[number].name: reason for number, reason in store.reasons.items()},
        tuple(pair.key for pair in kept),
        found.remarks,
    )


_NEXT = Item("", "", "")  # between the masks of one image and the next image


def _listed(inputs: Sequence[str]) -> MaskPairs:
    """Before anything is decoded."""
    listing = list_data(inputs)
    skipped = dict.fromkeys(listing.unpaired, "it is the mask of an image that is missing")
    pairs = []
    for image, source in zip(listing, listing.sources(), strict=True):
        name = image.item.name
        if name in listing.masks:
            pairs.append(MaskPair(image.item, listing.masks[name], name, image.label, source, image.key))
        else:
            skipped[name] = "it has no mask"
    if not pairs:
        raise InputError(
            f"none of the {len(listing)} images has a mask: expected NAME_mask.png beside NAME.png, or folders images/ "
            "and masks/ with files of equal names, in what is given"
        )
    return MaskPairs(tuple(pairs), skipped, listing.remarks)


class _UnfitError(Exception):
    """A pair is to be skipped; its text is the reason."""


def _unfit(pair: MaskPair) -> str | None:
    try:
        _read(pair)
    except _UnfitError as error:
        return str(error)
    return None


def _made(pair: MaskPair, size: int) -> Made:
    try:
        image, mask = _read(pair)
    except _UnfitError as error:
        return Made(reason=str(error))
    small = Image.fromarray(mask.view(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
    return Made([np.concatenate([planes(image, size), np.asarray(small)[None]])])


def _read(pair: MaskPair) -> tuple[Image.Image, NDArray[np.bool_]]:
    """The image and the union of its masks, both in their own size.

    Raises:
        _UnfitError: one cannot be read, or they do not fit.
    """
    image = _only_frame(pair.image, "it")
    united = np.zeros((image.height, image.width), bool)
    for item in pair.masks:
        what = f"its mask {item.name.rpartition('/')[2]}"
        mask = _only_frame(item, what)
        if mask.size != image.size:
            raise _UnfitError(
                f"{what} has {mask.width} × {mask.height} pixels, the image {image.width} × {image.height}"
            )
        united |= _foreground(mask, what)
    return image, united


def _only_frame(item: Item, what: str) -> Image.Image:
    try:
        frames = _first_two(item)
    except UnreadableImageError as error:
        raise _UnfitError(f"{what} cannot be read: {error.reason}") from None
    if len(frames) != 1:
        raise _UnfitError(f"{what} holds {'no image' if not frames else 'several frames'}, expected one")
    return frames[0]


def _first_two(item: Item) -> list[Image.Image]:
    frames: Iterator[Image.Image] = (_bright(frame.image, frame.notice) for frame in decode(item.load()))
    return [image for image, _ in zip(frames, range(2), strict=False)]


def _bright(image: Image.Image, notice: str | None) -> Image.Image:
    if notice is not None and FAINT in notice:  # a mask of 0 and 1 would become empty
        raise UnreadableImageError(notice)
    return image


def _foreground(mask: Image.Image, what: str) -> NDArray[np.bool_]:
    """Where a mask of black and white, of 0 and 1, or of black and a bright colour is not black."""
    values = np.asarray(mask)
    if values.ndim == 3:
        values = values.max(2)
    highest = int(values.max())
    if 1 < highest < 128:
        raise _UnfitError(f"{what} holds values up to {highest}, expected black (0) and white (255), or 0 and 1")
    found: NDArray[np.bool_] = values > (127 if highest > 1 else 0)
    return found
