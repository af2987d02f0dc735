"""How a row looks in every plot of a page: colours tell engines, marks tell precisions, pale ones are peers'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..row import Row
from .canvas import LETTER, TEXT, WIDTH, Canvas

_COLOURS = {  # Okabe and Ito's, which the colour-blind tell apart too
    "pytorch": "#7f7f7f",
    "pytorch-compile": "#b8860b",
    "onnxruntime": "#0072b2",
    "openvino": "#d55e00",
    "cuda": "#009e73",
    "tensorrt": "#cc79a7",
    "pytorch-cuda": "#7f7f7f",
    "pytorch-cuda-compile": "#b8860b",
}
_OTHER = "#56b4e9"
_SIZE = 4.5


@dataclass(frozen=True)
class Look:
    """Of one row."""

    colour: str
    precision: str
    is_peer: bool

    def fill(self) -> dict[str, str]:
        """Of an area."""
        return {"fill": self.colour, "fill_opacity": "0.35" if self.is_peer else "1"}

    def stroke(self) -> dict[str, str]:
        """Of a line from mark to mark."""
        return {"stroke": self.colour, "stroke_width": "1.8", "stroke_dasharray": _DASHES.get(self.precision, "none")}

    def mark(self, canvas: Canvas, x: float, y: float, title: str = "") -> None:
        """At a place."""
        told = {**self.fill(), "stroke": self.colour, "stroke_width": "1"}
        shape = _SHAPES.get(self.precision)
        if shape is None:
            canvas.circle(x, y, _SIZE - 0.5, title=title, **told)
        else:
            canvas.polygon([(x + _SIZE * across, y + _SIZE * down) for across, down in shape], title=title, **told)


def look_of(row: Row) -> Look:
    """Of `row`."""
    return Look(_COLOURS.get(row.engine, _OTHER), row.precision, row.is_peer)


_SHAPES: dict[str, Sequence[tuple[float, float]]] = {  # precision: corners; others are discs
    "fp16": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "bf16": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
    "int8": ((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),
    "int8-dynamic": ((0, 1.1), (1.1, -0.9), (-1.1, -0.9)),
}
_DASHES = {"fp16": "7 3", "bf16": "7 3 2 3", "int8": "2 2", "int8-dynamic": "1 3"}

Swatch = Callable[[Canvas, float, float], None]
Key = tuple[str, Swatch]
"""What is written beside a swatch, and what draws that around a point."""


def keys_of_engines(rows: Sequence[Row]) -> list[Key]:
    """Colours alone, and that peers are pale."""
    found: dict[str, Key] = {}
    for row in rows:
        found.setdefault(row.engine, (row.engine, area(**Look(look_of(row).colour, "", is_peer=False).fill())))
    if any(row.is_peer for row in rows):
        found["peer"] = ("pale: what one would take otherwise", area(**Look("#7f7f7f", "", is_peer=True).fill()))
    return list(found.values())


def keys_of_precisions(rows: Sequence[Row]) -> list[Key]:
    """Marks alone."""
    names = dict.fromkeys(row.precision for row in rows)
    return [(name, Look("#7f7f7f", name, is_peer=False).mark) for name in names]


def keys_of_lines(rows: Sequence[Row]) -> list[Key]:
    """A line and its mark for each name."""

    def of(look: Look) -> Swatch:
        def swatch(canvas: Canvas, x: float, y: float) -> None:
            canvas.line([(x - 9, y), (x + 9, y)], **look.stroke())
            look.mark(canvas, x, y)

        return swatch

    return [(name, of(look)) for name, look in {row.name: look_of(row) for row in rows}.items()]


def area(**attributes: str) -> Swatch:
    """A filled swatch."""
    return lambda canvas, x, y: canvas.rect(x - 5, y - 5, 10, 10, **attributes)


def draw_keys(canvas: Canvas, keys: Sequence[Key], top: float) -> float:
    """Below a plot, from left to right and down; returns where the last line ends."""
    x, y = 10.0, top + TEXT
    for said, swatch in keys:
        wide = 16 + LETTER * len(said) + 22
        if x > 10 and x + wide - 22 > WIDTH:
            x, y = 10.0, y + 17
        swatch(canvas, x, y - 4)
        canvas.text(x + 14, y, said)
        x += wide
    return y + 6 if keys else top
