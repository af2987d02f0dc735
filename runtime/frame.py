"""What decoding yields (a frame) and what steers it (a grey window, a frame number)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import InputError, UnreadableImageError

if TYPE_CHECKING:
    from PIL import Image

MIN_WIDTH = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}
"""The VOI LUT functions of DICOM (PS3.3 C.11.2.1.2 and C.11.2.1.3) and the least width of each: LINEAR takes widths
of 1 and more, the others widths above 0."""


NOT_WINDOWED = "the window was not used, for it applies to grey DICOM images only"
"""The notice of an image that is none, where a window was asked for."""


@dataclass(frozen=True)
class Window:
    """A range of grey values that is spread over black to white, as DICOM defines it in PS3.3 C.11.2.1.2.

    Args:
        center: the middle of the range, in the unit of the modality values (HU for CT).
        width: the length of the range, in the same unit; at least 1 for ``LINEAR``, above 0 for the others.
        function: ``LINEAR`` (DICOM's default), ``LINEAR_EXACT`` or ``SIGMOID``.

    Raises:
        InputError: where a number is not finite, the width is too small, or the function is unknown.
    """

    center: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        if self.function not in MIN_WIDTH:
            raise InputError(f"there is no window function '{self.function}': choose one of {', '.join(MIN_WIDTH)}")
        if not (math.isfinite(self.center) and math.isfinite(self.width)):
            raise InputError(f"a window needs finite numbers, but got centre {self.center} and width {self.width}")
        if self.width < MIN_WIDTH[self.function] or self.width <= 0:
            least = "at least 1" if MIN_WIDTH[self.function] else "above 0"
            raise InputError(f"the width of a {self.function} window must be {least}, but is {self.width}")


@dataclass(frozen=True)
class Frame:
    """One decoded image."""

    image: Image.Image
    """8-bit image of mode ``L`` (it stands for three equal channels) or ``RGB``, without any metadata."""
    number: int | None
    """Its place in a file of several frames or pages, counted from 1 as DICOM counts; None where the file holds one."""
    notice: str | None = None
    """What was decided in decoding that the file itself does not state, as a phrase; None where nothing was."""
    spacing: tuple[float, float] | None = None
    """Distance in mm between the centres of adjacent rows and of adjacent columns; None where the file states none
    (only DICOM does: the dots per inch of a PNG or JPEG file are no measurement)."""
    spacing_notice: str | None = None
    """What a user must know of `spacing`, or why it is None though the file says something of it, as a phrase."""


def check_frame(frame: int | None) -> None:
    """Say early that `frame` cannot be a frame number.

    Raises:
        InputError: where it is neither None nor a whole number of at least 1.
    """
    if frame is not None and (not isinstance(frame, int) or isinstance(frame, bool) or frame < 1):
        raise InputError(f"frames are counted from 1, but frame {frame!r} was asked for")


def check_window(window: Window | None) -> None:
    """Say early that `window` is none.

    Raises:
        InputError: where it is neither None nor a `Window`.
    """
    if window is not None and not isinstance(window, Window):
        raise InputError(f"a window is given as Window(center, width), not as {window!r}")


def frame_numbers(count: int, frame: int | None) -> range:
    """The frames to decode, counted from 1: all `count` of them, or the one asked for.

    Raises:
        UnreadableImageError: where there is no such frame.
    """
    if frame is None:
        return range(1, count + 1)
    if frame > count:
        held = f"{count} frames: choose one from 1 to {count}" if count > 1 else "one frame: choose frame 1 or none"
        raise UnreadableImageError(f"frame {frame} was asked for, but it holds {held}")
    return range(frame, frame + 1)
