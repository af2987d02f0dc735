"""The images that an int8 file is calibrated on, and others of the same kind that it is judged on.

The choice is seeded and the same whatever order the images are listed in. The labels of each data set take turns, so
that a rare kind of image counts as much as a common one. Blank images and copies are left out: they widen no range, and
an image must not be judged that was calibrated on.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil
from typing import Any, overload

import numpy as np
from PIL import Image

from radiodino.runtime.decode import decode
from radiodino.runtime.dicom.known import is_dicom
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.machine import usable_cores
from radiodino.runtime.prefetch import prefetch
from radiodino.runtime.preprocessing import Preprocessor
from radiodino.runtime.quantisation_info import CalibrationInfo
from radiodino.runtime.source import opened
from radiodino.train.data.data_image import DataImage
from radiodino.train.data.listing import DataListing, list_data
from radiodino.train.data.unreadable import unreadable_sentence

from ..engine import Batch
from .limits import FEWEST_IMAGES

FEW = 50
_BLANK_SPAN = 8
"""Grey levels of 255 between the darkest and the brightest pixel at the network's size, below which an image is blank:
an empty picture that was saved as JPEG has some noise."""
_COLOURED = 10.0
"""Mean distance of the largest from the smallest of red, green and blue, in levels of 255, of an image in colour."""
_MANY = 0.1
"""Share of images in colour from which on it is said."""


class Batches(Sequence[Batch]):
    """Images as network input, prepared each time a batch is asked for: 8-bit images take a twelfth of the memory."""

    def __init__(self, images: Sequence[Image.Image], preprocess: Preprocessor, size: int) -> None:
        self._parts = [images[first : first + size] for first in range(0, len(images), size)]
        self._preprocess = preprocess

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        return np.stack([self._preprocess(image) for image in self._parts[index]])

    def __len__(self) -> int:
        return len(self._parts)


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Some of the images."""

    images: tuple[Image.Image, ...]
    """8-bit, mode ``L`` or ``RGB``, of the network's size."""
    labels: tuple[str, ...]
    """Of each; empty text where there is none."""
    preprocess: Preprocessor

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int = 8) -> Batches:
        """The images as network input, float32 (at most `size`, 3, S, S) each."""
        return Batches(self.images, self.preprocess, size)

    def first(self, count: int) -> CalibrationImages:
        """The first `count`, which are as mixed as all."""
        return CalibrationImages(self.images[:count], self.labels[:count], self.preprocess)


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Images to calibrate on, and others to judge by."""

    calibration: CalibrationImages
    held_out: CalibrationImages
    info: CalibrationInfo
    """What the file says of them."""
    remarks: tuple[str, ...]
    """What else a user must be told; it may name files, which must not travel."""


def read_calibration(
    inputs: Sequence[str],
    preprocess: Preprocessor,
    *,
    count: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> CalibrationSet:
    """`count` images to calibrate on and as many others to judge by; half and half where there are not enough.

    Args:
        inputs: as `radiodino.train.data.listing.list_data` takes them: folders, files, globs, zip archives, ``.npz``
            sets, manifests; images of any format that the runtime reads, DICOM among them.
        preprocess: of the network.
        count: images to calibrate on, at least `FEWEST_IMAGES`.
        seed: of the choice.
        progress: is told (done, total) while images are read.

    Raises:
        InputError: an input is missing or empty, nothing can be read, all images are blank or the same, or fewer than
            `FEWEST_IMAGES` are left.
    """
    listing = list_data(inputs)
    found = _Found()
    frames = max(1, ceil(2 * count / len(listing)))
    height, width = preprocess.settings.resize
    chosen = _in_turn(listing, seed)
    readings = prefetch(
        chosen, lambda image: _read(image, (width, height), frames), usable_cores(), 2 * usable_cores() + 1
    )
    with closing(readings):  # its threads end with it
        for image, reading in zip(chosen, readings, strict=True):
            found.add(image, reading)
            progress(min(len(found.pictures), 2 * count), 2 * count)
            if len(found.pictures) >= 2 * count:
                break
    found.refuse_garbage()
    total = min(2 * count, len(found.pictures))
    split = min(count, ceil(total / 2))
    calibration, held_out = found.pictures[:split], found.pictures[split:total]
    digest = hashlib.sha256(b"".join(picture.digest for picture in calibration)).hexdigest()
    info = CalibrationInfo(
        sources=tuple(sorted(set(listing.sources()))),
        count=len(calibration),
        held_out=len(held_out),
        seed=seed,
        sha256=digest,
        notes=tuple(found.notes(len(calibration))),
    )
    sentence = unreadable_sentence(found.unreadable, found.read)
    remarks = (*listing.remarks, *([sentence] if sentence else []))
    return CalibrationSet(_images(calibration, preprocess), _images(held_out, preprocess), info, remarks)


@dataclass(frozen=True, eq=False)
class _Picture:
    image: Image.Image
    label: str
    digest: bytes
    """Of the pixels as they were decoded."""
    coloured: bool


@dataclass(frozen=True, eq=False)
class _Reading:
    """The frames of one file: each at the network's size, with the digest of its pixels."""

    frames: tuple[tuple[Image.Image, bytes], ...] = ()
    modality: str | None = None
    """Of a DICOM file."""
    reason: str | None = None
    """Why it cannot be read."""


@dataclass(eq=False)
class _Found:
    """What was read so far."""

    pictures: list[_Picture] = field(default_factory=list)
    read: int = 0
    blank: int = 0
    copies: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    modalities: Counter[str] = field(default_factory=Counter)
    _digests: set[bytes] = field(default_factory=set)

    def add(self, image: DataImage, reading: _Reading) -> None:
        self.read += 1
        if reading.reason is not None:
            self.unreadable[image.item.name] = reading.reason
        if reading.modality is not None:
            self.modalities[reading.modality] += 1
        for picture, digest in reading.frames:
            if _span(picture) < _BLANK_SPAN:
                self.blank += 1
            elif digest in self._digests:
                self.copies += 1
            else:
                self._digests.add(digest)
                self.pictures.append(_Picture(picture, image.label, digest, _is_coloured(picture)))

    def refuse_garbage(self) -> None:
        """Say what is wrong with images that nothing can be calibrated on."""
        wanted = f"at least {FEWEST_IMAGES} different radiology images, better 200 and as many to judge by"
        if not self.pictures and not self.blank:
            raise InputError(
                f"{unreadable_sentence(self.unreadable, self.read)}: calibration needs {wanted}, name others with "
                "--calibration"
            )
        if not self.pictures:
            raise InputError(
                f"all {self.blank} calibration images that can be read are blank (one shade each): calibration needs "
                f"{wanted}, name others with --calibration"
            )
        if len(self.pictures) == 1 and self.copies:
            raise InputError(
                f"all {self.copies + 1} calibration images are one and the same: calibration needs {wanted}, name "
                "others with --calibration"
            )
        if len(self.pictures) < FEWEST_IMAGES:
            raise InputError(
                f"calibration needs {wanted}, and found {len(self.pictures)} ({len(self.unreadable)} cannot be read, "
                f"{self.blank} are blank, {self.copies} are copies): name more with --calibration"
            )

    def notes(self, count: int) -> list[str]:
        """What must be known of them, without names of files."""
        coloured = sum(picture.coloured for picture in self.pictures)
        mixed = ", ".join(f"{number} {name}" for name, number in sorted(self.modalities.items()))
        said = {
            f"few images: {count} to calibrate on, and below {FEW} a range may miss what the next image has": count
            < FEW,
            f"in colour: {coloured} of {len(self.pictures)} images, where radiology is grey; photographs or another "
            "modality give other ranges than the images that the file is for": coloured >= _MANY * len(self.pictures),
            f"DICOM modalities mixed: {mixed}": len(self.modalities) > 1,
            f"blank: {self.blank} images of one shade were left out": self.blank > 0,
            f"copies: {self.copies} images that occur twice were left out": self.copies > 0,
            f"unreadable: {len(self.unreadable)} of {self.read} images were left out": bool(self.unreadable),
        }
        return [note for note, holds in said.items() if holds]


def _in_turn(listing: DataListing, seed: int) -> list[DataImage]:
    """All images: of each label of each data set the first in a seeded order, then of each the second, and so on."""

    def drawn(image: DataImage) -> bytes:
        return hashlib.sha256(f"{seed}\0{image.key}".encode()).digest()

    ranks: Counter[tuple[str, str]] = Counter()
    turns = []
    for image in sorted(listing, key=lambda image: (drawn(image), image.item.name)):
        kind = (image.root, image.label)
        turns.append((ranks[kind], drawn(image), image.item.name, image))
        ranks[kind] += 1
    return [image for *_, image in sorted(turns, key=lambda turn: turn[:3])]


def _read(image: DataImage, size: tuple[int, int], most: int) -> _Reading:
    """At most so many frames of one file, evenly spread over it."""
    try:
        loaded = image.item.load()
        frames = [
            (frame.image.resize(size, Image.Resampling.BILINEAR), _digest(frame.image)) for frame in decode(loaded)
        ]
    except UnreadableImageError as error:
        return _Reading(reason=error.reason)
    places = np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int)
    return _Reading(tuple(frames[place] for place in places), _modality(loaded))


def _digest(image: Image.Image) -> bytes:
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).digest()


def _modality(loaded: Any) -> str | None:
    """Modality (0008,0060) of a DICOM file that could be decoded; None of any other."""
    if isinstance(loaded, np.ndarray):
        return None
    with opened(loaded) as stream:
        stream.seek(0)
        if not is_dicom(stream.read(132)):
            return None
        from pydicom import dcmread

        stream.seek(0)
        value = str(dcmread(stream, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality", ""))
    return value if re.fullmatch("[A-Z0-9]{1,16}", value) else "of no stated modality"


def _span(image: Image.Image) -> int:
    extremes = np.asarray(image)
    return int(extremes.max()) - int(extremes.min())


def _is_coloured(image: Image.Image) -> bool:
    return image.mode == "RGB" and float(np.ptp(np.asarray(image), axis=2).mean()) > _COLOURED


def _images(pictures: Sequence[_Picture], preprocess: Preprocessor) -> CalibrationImages:
    return CalibrationImages(
        tuple(picture.image for picture in pictures), tuple(picture.label for picture in pictures), preprocess
    )
