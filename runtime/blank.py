"""Images that show nothing."""

from __future__ import annotations

from PIL import Image

BLANK = "blank: all its pixels are equal"
"""The notice of such an image. A network gives it an embedding like any other, and some networks one that is near to
that of a dark scan, so that it must be told by its pixels."""


def is_blank(image: Image.Image) -> bool:
    """Whether all pixels of an 8-bit image of mode ``L`` or ``RGB`` are equal."""
    sample = image.resize((8, 8), Image.Resampling.NEAREST)  # pixels of the image, which tell most images at once
    return _is_of_one_colour(sample) and _is_of_one_colour(image)


def _is_of_one_colour(image: Image.Image) -> bool:
    return image.getcolors(1) is not None  # None where there are more
