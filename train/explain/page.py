"""A page of pictures: cells in rows, laid out in inches, with a title, captions and the line on what it is not for.

Nothing here has state of its own: figures are built from matplotlib's objects, `pyplot` and global settings are not
touched, and what a user's settings could change (fonts, colours) is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray

from radiodino.runtime.atomic import atomic_path

FONT = "DejaVu Sans"  # comes with matplotlib
DPI = 200
DISCLAIMER = "Research use, not for diagnosis."
INK, QUIET = "black", "#555555"
TITLE, TEXT, SMALL = 10.0, 7.0, 6.0  # points

_CELL, _GAP, _EDGE = 1.35, 0.06, 0.12  # inches
_LABEL, _BLOCK_GAP = 0.36, 0.25
_LINE = 1.35  # of the font's size
_WIDE = 7.2  # of a page in print
_NAME = 24  # characters of a name beside a cell
_SLACK = 1.02  # for hinting, with which letters are set a little wider


@dataclass(frozen=True)
class Heading:
    """What stands above and below a page."""

    title: str
    facts: tuple[str, ...]
    """Model, weights, data set, size: what a reader must know to make the picture again."""
    note: str = ""
    """How to read it, in a sentence or two."""


@dataclass(frozen=True)
class Page:
    """A figure with its cells."""

    figure: Figure
    cells: list[list[Axes]]
    """For each image its columns."""
    beside: list[Axes]
    """For each image the space to the right of its cells, where some was asked for."""
    foot: Axes | None
    """A strip below all cells, where one was asked for."""


def lay_out(
    heading: Heading,
    columns: Sequence[str],
    captions: Sequence[tuple[str, str]],
    *,
    beside: float = 0.0,
    beside_title: str = "",
    foot: float = 0.0,
) -> Page:
    """An empty page, one row of cells per image; narrow rows stand in several blocks side by side.

    Args:
        heading: what stands above and below.
        columns: their names, over the cells.
        captions: of each image: its name and its class, which may be empty.
        beside: inches to the right of each row.
        beside_title: its name, over it.
        foot: inches below all cells.
    """
    count = len(captions)
    block = _LABEL + len(columns) * (_CELL + _GAP) + beside
    blocks = max(1, min(count, int((_WIDE + _BLOCK_GAP) / (block + _BLOCK_GAP))))
    lines = -(-count // blocks)
    blocks = -(-count // lines)
    width = max(2 * _EDGE + blocks * block + (blocks - 1) * _BLOCK_GAP, 3.6)
    head = _wrapped(heading.facts, " · ", width, TEXT)
    notes = [*_wrapped(heading.note.split(), " ", width, SMALL), DISCLAIMER]
    above = _EDGE + _height(_title(heading, width), TITLE) + _height(head, TEXT) + _height([""], TEXT)
    below = _EDGE + _height(notes, SMALL) + foot
    height = above + lines * (_CELL + _GAP) + below
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    _write_heading(figure, heading, head, notes)

    cells, sides = [], []
    for index, (name, label) in enumerate(captions):
        left = _EDGE + (index // lines) * (block + _BLOCK_GAP)
        bottom = height - above - (index % lines + 1) * (_CELL + _GAP) + _GAP
        text = "\n".join(part for part in (shortened(name), shortened(label)) if part)
        write(figure, left + _LABEL / 2, bottom + _CELL / 2, text, SMALL, rotation=90, ha="center", va="center")
        row = []
        for place, title in enumerate(columns):
            x = left + _LABEL + place * (_CELL + _GAP)
            row.append(_axes(figure, x, bottom, _CELL, _CELL))
            if index % lines == 0:
                write(figure, x + _CELL / 2, bottom + _CELL + 0.06, title, TEXT, ha="center", va="baseline")
        cells.append(row)
        if beside:
            sides.append(_axes(figure, left + block - beside, bottom, beside, _CELL, bare=True))
            if beside_title and index % lines == 0:
                write(figure, left + block - beside + 0.08, bottom + _CELL + 0.06, beside_title, TEXT, va="baseline")
    strip = None
    if foot:
        strip = _axes(figure, _EDGE + _LABEL, below - foot, width - 2 * _EDGE - _LABEL, foot, bare=True)
    return Page(figure, cells, sides, strip)


def lay_out_one(heading: Heading, width: float, height: float, beside: float) -> Page:
    """A page with one large cell of `width` × `height` inches, and `beside` inches to the right of it."""
    total = 2 * _EDGE + width + _GAP + beside
    head, notes = (
        _wrapped(heading.facts, " · ", total, TEXT),
        [*_wrapped(heading.note.split(), " ", total, SMALL), DISCLAIMER],
    )
    above = _EDGE + _height(_title(heading, total), TITLE) + _height(head, TEXT) + 0.06
    below = _EDGE + _height(notes, SMALL) + 0.06
    figure = Figure(figsize=(total, above + height + below), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    _write_heading(figure, heading, head, notes)
    cell = _axes(figure, _EDGE, below, width, height)
    side = _axes(figure, _EDGE + width + _GAP, below, beside, height, bare=True)
    return Page(figure, [[cell]], [side], None)


def write(place: Figure | Axes, x: float, y: float, text: str, size: float, **options: Any) -> None:
    """Text at `x`, `y`: inches in a figure, data in axes; never read as mathematics."""
    options = {"color": INK, "linespacing": 1.25, **options}
    if isinstance(place, Figure):
        x, y = x / place.get_figwidth(), y / place.get_figheight()
    place.text(x, y, drawable(text), fontsize=size, fontfamily=FONT, parse_math=False, **options)


def draw_image(axes: Axes, pixels: NDArray[np.uint8]) -> None:
    """An image (C, S, S), uint8, C = 1 or 3, as the network sees it."""
    if len(pixels) == 1:
        axes.imshow(pixels[0], cmap="gray", vmin=0, vmax=255, interpolation="antialiased", aspect="equal")
    else:
        axes.imshow(pixels.transpose(1, 2, 0), interpolation="antialiased", aspect="equal")


def save_png(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG file of 200 dots per inch, whole or not at all.

    Raises:
        OutputError: where it cannot be written.
    """
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor="white", metadata={"Disclaimer": DISCLAIMER})


def short_names(names: Sequence[str]) -> list[str]:
    """Names of images without their folders, with as many of them as it takes to tell them apart."""
    parts = [name.split("/") for name in names]
    kept = ["/".join(part[-1:]) for part in parts]
    for depth in range(2, max(map(len, parts), default=1) + 1):
        seen = Counter(kept)
        kept = ["/".join(part[-depth:]) if seen[one] > 1 else one for part, one in zip(parts, kept, strict=True)]
    return kept


def shortened(text: str, length: int = _NAME) -> str:
    """`text` with its middle left out where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[: length - 1 - half]}…{text[len(text) - half :]}"


def drawable(text: str) -> str:
    r"""`text` with those characters that the font lacks written as ``\u4e2d``."""
    return "".join(one if one == "\n" or _has(one) else one.encode("unicode_escape").decode() for one in text)


@cache
def _has(character: str) -> bool:
    return character.isprintable() and FT2Font(findfont(FONT)).get_char_index(ord(character)) != 0


def text_width(text: str, size: float) -> float:
    """Inches that one line of `text` takes at `size` points."""
    font = FT2Font(findfont(FONT))
    font.set_size(size, DPI)
    font.set_text(drawable(text), 0.0)
    pixels: float = font.get_width_height()[0] / 64
    return _SLACK * pixels / DPI


def _wrapped(parts: Sequence[str], joint: str, width: float, size: float) -> list[str]:
    """Lines that fit into a page `width` inches wide, broken between `parts`, and within one where it is too long."""
    space = width - 2 * _EDGE
    lines: list[str] = []
    for part in parts:
        if lines and text_width(lines[-1] + joint + part, size) <= space:
            lines[-1] += joint + part
        elif text_width(part, size) <= space:
            lines.append(part)
        elif len(words := part.split()) > 1:
            lines += _wrapped(words, " ", width, size)
        else:
            fits = max(1, int(len(part) * space / text_width(part, size)) - 1)
            lines += [part[start : start + fits] for start in range(0, len(part), fits)]
    return lines


def _title(heading: Heading, width: float) -> list[str]:
    return _wrapped(heading.title.split(), " ", width, 1.15 * TITLE)  # bold letters are wider


def _height(lines: Sequence[str], size: float) -> float:
    """Of lines of text, in inches, with a little space below."""
    return len(lines) * size * _LINE / 72 + (0.05 if lines else 0.0)


def _write_heading(figure: Figure, heading: Heading, head: Sequence[str], notes: Sequence[str]) -> None:
    width, top = figure.get_figwidth(), figure.get_figheight() - _EDGE
    title = _title(heading, width)
    write(figure, _EDGE, top, "\n".join(title), TITLE, va="top", fontweight="bold")
    write(figure, _EDGE, top - _height(title, TITLE), "\n".join(head), TEXT, va="top", color=QUIET)
    write(figure, _EDGE, _EDGE, "\n".join(notes), SMALL, va="bottom", color=QUIET)


def _axes(figure: Figure, x: float, y: float, width: float, height: float, *, bare: bool = False) -> Axes:
    """Axes at a place given in inches from the lower left corner, without ticks."""
    across, up = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((x / across, y / up, width / across, height / up), facecolor="white")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=QUIET, linewidth=0.4, visible=not bare)
    if bare:
        axes.patch.set_alpha(0)
        axes.set(xlim=(0, width), ylim=(0, height))
    return axes
