"""From one input to its frames, ready for the network."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..blank import BLANK, is_blank
from ..decode import decode
from ..errors import UnreadableImageError
from ..frame import Frame, Window
from ..inputs.item import Item

SHORT = 4
"""Frames of one input that are prepared ahead; of an input with more, the frames are read as they are needed."""


@dataclass(frozen=True)
class ReadyFrame:
    """One frame, ready for the network."""

    number: int | None
    """Its place in the file, counted from 1; None where the file holds one."""
    notice: str | None
    """What a user must know of it."""
    pixels: NDArray[np.float32 | np.uint8]
    """What a model takes of one image, (3, H, W)."""
    decoded: Frame | None = None
    """As it was decoded, where that is kept."""


@dataclass(frozen=True)
class Prepared:
    """One input, read as far as is held in memory."""

    item: Item
    frames: tuple[ReadyFrame, ...] | None = None
    """None where there are more than `SHORT`, or where it is unreadable."""
    error: UnreadableImageError | None = None


@dataclass(frozen=True)
class FrameReader:
    """Decodes and preprocesses inputs, all with the same settings; thread-safe."""

    preprocess: Callable[[Image.Image], NDArray[np.float32 | np.uint8]]
    window: Window | None
    frame: int | None
    keep: bool = False
    """Whether the decoded frames are kept, and their notices say what must be known of their scale."""

    def frames(self, item: Item) -> Generator[ReadyFrame, None, None]:
        """The frames of an input, each decoded and preprocessed when it is asked for.

        Raises:
            UnreadableImageError: the input cannot be read, or holds no image.
        """
        count = 0
        for found in decode(item.load(), window=self.window, frame=self.frame):
            spacing = found.spacing_notice if self.keep else None
            notices = (found.notice, spacing, BLANK if is_blank(found.image) else None)
            notice = "; ".join(filter(None, notices)) or None
            yield ReadyFrame(found.number, notice, self.preprocess(found.image), found if self.keep else None)
            count += 1
        if not count:
            raise UnreadableImageError("it holds no image")

    def prepare(self, item: Item) -> Prepared:
        """Read an input whole, unless it has so many frames that they would fill the memory.

        Of an input with more than `SHORT` frames, the first `SHORT` + 1 are decoded and preprocessed here only to find
        that out; they are dropped, and `frames` decodes them a second time when they are needed.
        """
        try:
            with closing(self.frames(item)) as frames:
                first = tuple(islice(frames, SHORT + 1))
        except UnreadableImageError as error:
            return Prepared(item, error=error)
        return Prepared(item, first if len(first) <= SHORT else None)
