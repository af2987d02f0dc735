"""Images as a caller gives them - one, a list, an iterator of any length - as network input, read ahead by threads."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .blank import BLANK, is_blank
from .decode import ImageSource, decode
from .errors import DecodingNotice, InputError
from .frame import Frame, Window

Array = NDArray[np.float32]
Pixels = NDArray[np.float32 | np.uint8]
"""The network's input, or where the engine normalises, what is not normalised yet."""
Preprocess = Callable[[Image.Image], Pixels]


@dataclass(frozen=True, eq=False)
class InputImage:
    """One image, or one frame of one, ready for the network."""

    pixels: Pixels
    """(3, H, W)."""
    size: tuple[int, int]
    """Height and width as it was given."""
    spacing: tuple[float, float] | None
    """As in `Frame`."""
    spacing_notice: str | None
    """As in `Frame`."""


def is_one_image(images: Any) -> bool:
    """Whether `images` is one image, which may have several frames, rather than a list or an iterator of images."""
    if isinstance(images, (str, PathLike, bytes, np.ndarray, Image.Image)) or hasattr(images, "read"):
        return True
    pydicom = sys.modules.get("pydicom")  # a dataset can only come from a caller who imported it
    return pydicom is not None and isinstance(images, pydicom.Dataset)


@dataclass(frozen=True)
class ImageReader:
    """Reads images, all with the same settings; thread-safe.

    Warns:
        DecodingNotice: something was decided that an image does not state, or it is blank.
    """

    preprocess: Preprocess
    window: Window | None = None
    frame: int | None = None
    measures: bool = False
    """Whether the distance of pixels matters, so that its notices are said too."""

    def read(self, images: Any, ahead: int) -> Generator[InputImage, None, None]:
        """Each image, or each frame of one image alone.

        Args:
            images: one image, or an iterable of any length.
            ahead: images that are read before they are asked for, at most.

        Raises:
            InputError: at once, where `images` are no images; later, where one of several has several frames and none
                was chosen.
            UnreadableImageError: later, where an image cannot be decoded.
        """
        if is_one_image(images):
            return (self._input(item, images) for item in decode(images, window=self.window, frame=self.frame))
        if isinstance(images, Iterable):
            from .machine import usable_cores
            from .prefetch import prefetch  # one image alone needs no threads

            return prefetch(images, self._single, workers=usable_cores(), depth=ahead)
        raise InputError(f"a model takes images, not {type(images).__name__}")

    def _single(self, source: ImageSource) -> InputImage:
        frames = decode(source, window=self.window, frame=self.frame)
        first = next(frames)
        if next(frames, None) is not None:
            raise InputError(
                f"{_name(source)} has several frames and is one image among others: choose one with frame=, or give it "
                "alone"
            )
        return self._input(first, source)

    def _input(self, frame: Frame, source: ImageSource) -> InputImage:
        blank = BLANK if is_blank(frame.image) else None
        for notice in (frame.notice, frame.spacing_notice if self.measures else None, blank):
            if notice:
                warnings.warn(f"{_name(source)}: {notice}", DecodingNotice, stacklevel=2)
        width, height = frame.image.size
        return InputImage(self.preprocess(frame.image), (height, width), frame.spacing, frame.spacing_notice)


def in_batches(
    run: Callable[[Pixels], Mapping[str, Array]], inputs: Generator[InputImage, None, None], batch_size: int
) -> Iterator[tuple[InputImage, dict[str, Array]]]:
    """Each image with the network's outputs for it.

    Args:
        run: a batch of what the images hold, (B, 3, H, W) → outputs by name, each (B, …).
        inputs: the images; closed at the end.
        batch_size: images per inference at most.

    Yields:
        The image and its outputs by name, without the batch.
    """
    batch: list[InputImage] = []

    def outputs() -> Iterator[tuple[InputImage, dict[str, Array]]]:
        pixels = [image.pixels for image in batch]
        found = run(np.stack(pixels) if len(pixels) > 1 else pixels[0][np.newaxis])
        for index, image in enumerate(batch):
            yield image, {name: values[index] for name, values in found.items()}

    with closing(inputs):  # its threads end with it
        for image in inputs:
            batch.append(image)
            if len(batch) == batch_size:
                yield from outputs()
                batch = []
        if batch:
            yield from outputs()


def _name(source: ImageSource) -> str:
    return str(source) if isinstance(source, (str, PathLike)) else "an image"
