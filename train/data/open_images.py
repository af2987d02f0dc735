"""From what a user typed to decoded images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from radiodino.runtime.home import home

from .image_cache import ImageCache, open_cache
from .listing import list_data


def open_images(
    inputs: Sequence[str],
    size: int,
    *,
    split: str | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageCache:
    """The images behind `inputs`, decoded once at `size`.

    Args:
        inputs: as `list_data` takes them: folders, files, globs, zip archives, ``.npz`` sets, manifests,
            ``medmnist:NAME[:SIZE]``.
        size: side of the stored images in pixels.
        split: take the images of this split alone, which the data set or a manifest must say of each.
        cache: where decoded images are kept; None: in `RADIODINO_HOME`.
        progress: is told (done, total) while they are decoded; in MiB while a MedMNIST set is fetched.

    Raises:
        InputError: an input is missing or no such thing (see `list_data`), none of its images can be read, or there
            is no such split (see `DataListing.only`).
        MissingExtraError: a Parquet manifest, where pyarrow is not installed.
        OutputError: where the disk is full or read-only.
    """
    listing = list_data(inputs, progress)
    if split is not None:
        listing = listing.only(split)
    return open_cache(listing, cache or home() / "images", size, progress)
