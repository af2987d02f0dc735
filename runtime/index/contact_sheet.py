"""Similar cases as one picture: the query on the left, its neighbours beside it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from ..notice import marked
from ..pictures.lettering import font, wrapped
from .found import Found
from .pictures import picture

_TILE = 208
_QUERY = 2 * _TILE + 12
_GAP = 16
_COLUMNS = 4
_CAPTION = 58
_BACKGROUND, _PLATE = (250, 250, 250), (24, 24, 24)
_INK, _GREY, _RED = (20, 20, 20), (95, 95, 95), (190, 10, 10)
_LINE = 1.3


def write_contact_sheet(path: Path, found: Found) -> None:
    """Draw and write a PNG without metadata.

    Raises:
        IndexFileError: a thumbnail is damaged.
    """
    contact_sheet(found).save(path, "PNG")


def contact_sheet(found: Found) -> Image.Image:
    """The query with its name, and each neighbour with rank, similarity, label and name; mode RGB.

    Raises:
        IndexFileError: a thumbnail is damaged.
    """
    columns = max(1, min(_COLUMNS, len(found.neighbours)))
    rows = -(-len(found.neighbours) // columns)
    right = _GAP + _QUERY + 2 * _GAP
    width = right + columns * (_TILE + _GAP)
    width = max(width, 900)
    head = _head(found, width - 2 * _GAP)
    top = _GAP + sum(int(size * _LINE) for _, size, _ in head) + _GAP
    height = top + max(rows * (_TILE + _CAPTION + _GAP), _QUERY + _CAPTION + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    line = _GAP
    for text, size, colour in head:
        draw.text((_GAP, line), text, colour, font(size))
        line += int(size * _LINE)
    _place(sheet, found.query.frame.image, (_GAP, top), _QUERY)
    _caption(draw, (_GAP, top + _QUERY + 6), _QUERY, "query", found.query.name)
    for number, each in enumerate(found.neighbours):
        corner = right + number % columns * (_TILE + _GAP), top + number // columns * (_TILE + _CAPTION + _GAP)
        _place(sheet, picture(found.index, each.row), corner, _TILE)
        title = f"{number + 1}.  {each.case.label or 'no label'}  {each.similarity:.3f}"
        _caption(draw, (corner[0], corner[1] + _TILE + 6), _TILE, title, each.case.name)
    return sheet


def _head(found: Found, width: int) -> list[tuple[str, int, tuple[int, int, int]]]:
    title = (
        f"The {len(found.neighbours)} most similar of {len(found.index)} indexed images (cosine similarity)"
        if len(found.neighbours) > 1
        else f"The most similar of {len(found.index)} indexed images (cosine similarity)"
    )
    said = [(marked(), 17, _RED)]
    said += [(text, 17, _RED) for text in (found.warning, found.notice) if text]
    said += [(f"Query: {found.query.frame.notice}", 15, _GREY)] if found.query.frame.notice else []
    lines = [(title, 24, _INK)]
    lines += [(line, size, colour) for text, size, colour in said for line in wrapped(_capital(text), size, width)]
    return lines


def _place(sheet: Image.Image, image: Image.Image | str, corner: tuple[int, int], side: int) -> None:
    """Fit a picture into a square, keeping its aspect ratio; or say why there is none."""
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), fill=_PLATE)
    if isinstance(image, str):
        lines = wrapped(image, 15, side - 20)
        for number, line in enumerate(lines):
            draw.text((corner[0] + 10, corner[1] + side // 2 + 20 * (number - 1)), line, (230, 230, 230), font(15))
        return
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    fitted = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    sheet.paste(fitted, (corner[0] + (side - size[0]) // 2, corner[1] + (side - size[1]) // 2))


def _caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, title: str, name: str) -> None:
    draw.text(corner, _elided(title, 18, width), _INK, font(18))
    draw.text((corner[0], corner[1] + 24), _elided(name, 14, width), _GREY, font(14))


def _elided(text: str, size: int, width: int) -> str:
    """`text` without its middle where it is too long: the end of a file name tells more than its beginning."""
    text = " ".join(text.split())
    if font(size).getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        fits = font(size).getlength(_without_middle(text, kept)) <= width
        low, high = (kept, high) if fits else (low, kept - 1)
    return _without_middle(text, low)


def _without_middle(text: str, kept: int) -> str:
    first = kept // 3
    return f"{text[:first]}…{text[len(text) - (kept - first) :]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
