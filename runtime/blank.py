"""Images that show nothing."""

from __future__ import annotations

from PIL import Image

BLANK = "blank: all its pixels are equal"
"""The notice of such an image. A network gives it an embedding like any other, and some networks one that is near to
that of a dark scan, so that it must be told by its pixels."""


def is_blank(image: Image.Image) -> bool:
    """Whether all pixels of an 8-bit image of mode ``L`` or ``RGB`` are equal."""
    colours = image.getcolors(1)  # None where there are more
    return colours is not None
