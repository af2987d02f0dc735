"""An SVG drawing that lies in a page: what a browser draws sharply at any size, with text that can be read and found.

Drawn by hand rather than with matplotlib: a chart is 5 to 10 kB instead of 50, its text stays text, marks tell their
numbers when they are pointed at, and colours follow the page, which may be dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.etree import ElementTree

WIDTH = 360.0
"""Of every drawing, in units that are pixels on a phone: so text is 11 pixels there, and larger elsewhere."""
TEXT, LETTER = 11.0, 6.2
"""Height of text, and about the width of a letter."""

Anchor = Literal["start", "middle", "end"]


class Canvas:
    """Collects shapes; units as `WIDTH`, from the upper left.

    Attributes are SVG's, with ``_`` for ``-``; the classes ``quiet``, ``ground``, ``line`` and ``ink`` are the page's,
    see `radiodino.train.report.style`.
    """

    def __init__(self) -> None:
        self._root = ElementTree.Element("svg")

    def rect(self, x: float, y: float, width: float, height: float, *, title: str = "", **attributes: str) -> None:
        """A rectangle."""
        self._add("rect", title, {"x": _n(x), "y": _n(y), "width": _n(width), "height": _n(height), **attributes})

    def line(self, points: Sequence[tuple[float, float]], *, title: str = "", **attributes: str) -> None:
        """Straight from point to point."""
        told = {"points": _joined(points), "fill": "none", **attributes}
        self._add("polyline", title, told)

    def polygon(self, points: Sequence[tuple[float, float]], *, title: str = "", **attributes: str) -> None:
        """As `line`, and back to the first, filled."""
        self._add("polygon", title, {"points": _joined(points), **attributes})

    def circle(self, x: float, y: float, radius: float, *, title: str = "", **attributes: str) -> None:
        """A disc."""
        self._add("circle", title, {"cx": _n(x), "cy": _n(y), "r": _n(radius), **attributes})

    def text(self, x: float, y: float, said: str, anchor: Anchor = "start", **attributes: str) -> None:
        """`said` on a line whose foot is at `y`."""
        self._add("text", "", {"x": _n(x), "y": _n(y), "text_anchor": anchor, **attributes}).text = said

    def svg(self, height: float) -> str:
        """The whole element, as it stands in HTML."""
        self._root.set("viewBox", f"0 0 {_n(WIDTH)} {_n(height)}")
        return ElementTree.tostring(self._root, encoding="unicode")

    def _add(self, tag: str, title: str, attributes: dict[str, str]) -> ElementTree.Element:
        told = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        shape = ElementTree.SubElement(self._root, tag, told)
        if title:
            ElementTree.SubElement(shape, "title").text = title
        return shape


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
