"""What stands below a picture, never over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .heat_overlay import colours
from .lettering import font, wrapped
from .scale_bar import length_text, round_length

INK, GREY, AMBER, RED = (240, 240, 240), (170, 170, 175), (255, 200, 90), (255, 110, 100)
_GROUND = (22, 22, 26)
_MARGIN, _GAP = 14, 6
_LARGE, _SMALL = 22, 16
_LEADING = 1.35

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Text:
    """One paragraph, broken where it is too long."""

    text: str
    colour: Colour = INK
    large: bool = False
    swatch: Colour | None = None
    """A square of this colour before it."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar of a round length."""

    millimetres: float
    """In one pixel of the picture, from left to right."""


@dataclass(frozen=True)
class HeatScale:
    """The colours of a heat map, from 0 to 1."""


Part = Text | ScaleBar | HeatScale


def with_legend(pictures: Sequence[Image.Image], parts: Sequence[Part]) -> Image.Image:
    """Pictures side by side with a legend below.

    Args:
        pictures: mode ``RGB``, one or more.
        parts: the legend from top to bottom.

    Returns:
        Mode ``RGB``; a legend wider than the pictures makes it wider than they are.
    """
    apart = 4
    across = sum(picture.width for picture in pictures) + apart * (len(pictures) - 1)
    width = max(across, 480)
    tall = max(picture.height for picture in pictures)
    drawn = [_part(part, width - 2 * _MARGIN, pictures[0].width) for part in parts]
    height = tall + 2 * _MARGIN + sum(image.height for image in drawn) + _GAP * (len(drawn) - 1)
    sheet = Image.new("RGB", (width, height), _GROUND)
    left = (width - across) // 2
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + apart
    top = tall + _MARGIN
    for image in drawn:
        sheet.paste(image, (_MARGIN, top))
        top += image.height + _GAP
    return sheet


def _part(part: Part, width: int, picture: int) -> Image.Image:
    if isinstance(part, Text):
        return _text(part, width)
    return _scale_bar(part, min(width, picture)) if isinstance(part, ScaleBar) else _heat_scale(width)


def _text(part: Text, width: int) -> Image.Image:
    size = _LARGE if part.large else _SMALL
    indent = size + 8 if part.swatch else 0
    lines = wrapped(part.text, size, width - indent)
    step = round(size * _LEADING)
    image = Image.new("RGB", (width, step * len(lines)), _GROUND)
    draw = ImageDraw.Draw(image)
    if part.swatch:
        draw.rectangle((0, step // 2 - size // 2 + 1, size - 1, step // 2 + size // 2 - 1), fill=part.swatch)
    for number, line in enumerate(lines):
        draw.text((indent, number * step), line, part.colour, font(size))
    return image


def _scale_bar(part: ScaleBar, width: int) -> Image.Image:
    length = round_length(0.4 * width * part.millimetres)
    pixels = max(1, round(length / part.millimetres))
    step = round(_SMALL * _LEADING)
    text = length_text(length)
    image = Image.new("RGB", (pixels + 14 + round(font(_SMALL).getlength(text)), step), _GROUND)
    draw = ImageDraw.Draw(image)
    middle = step // 2
    draw.rectangle((0, middle - 1, pixels - 1, middle + 1), fill=INK)
    for end in (0, max(0, pixels - 2)):
        draw.rectangle((end, middle - 6, end + 1, middle + 6), fill=INK)
    draw.text((pixels + 10, 0), text, INK, font(_SMALL))
    return image


def _heat_scale(width: int) -> Image.Image:
    step = round(_SMALL * _LEADING)
    long = min(240, width - 60)
    bar = colours(np.linspace(0, 1, long, dtype=np.float32))
    image = Image.new("RGB", (long + 50, step), _GROUND)
    image.paste(Image.fromarray(np.broadcast_to(np.rint(bar), (12, long, 3)).astype(np.uint8)), (18, (step - 12) // 2))
    draw = ImageDraw.Draw(image)
    draw.text((0, 0), "0", INK, font(_SMALL))
    draw.text((long + 26, 0), "1", INK, font(_SMALL))
    return image
