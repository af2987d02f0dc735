"""Bars from left to right, one below the other: each row's name and number above its bar, as wide as a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .axis import from_zero
from .canvas import TEXT, WIDTH, Canvas
from .looks import Key, draw_keys

_LEFT, _RIGHT = 6.0, WIDTH - 10
_EACH, _THICK = 31.0, 12.0


@dataclass(frozen=True)
class Bar:
    """One."""

    name: str
    said: str
    """Its number, in words."""
    parts: tuple[tuple[float, dict[str, str]], ...]
    """Lengths, one after the other, each with the attributes of its area."""
    interval: tuple[float, float] | None = None
    """For a whisker."""

    @property
    def length(self) -> float:
        """Of all parts."""
        return sum(length for length, _ in self.parts)


def bars(found: Sequence[Bar], label: str, keys: Sequence[Key], reference: float | None = None) -> str:
    """An SVG element.

    Args:
        found: from top to bottom.
        label: what the lengths are.
        keys: below.
        reference: where a dashed line goes down; None for none.
    """
    axis = from_zero(label, [max(one.length, one.interval[1] if one.interval else 0.0) for one in found])
    canvas = Canvas()
    foot = _EACH * len(found) + 4

    def place(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * axis.share(value)

    for tick in axis.ticks:
        canvas.line([(place(tick), 4), (place(tick), foot)], class_="line")
        canvas.text(place(tick), foot + TEXT + 2, f"{tick:g}", "middle", class_="quiet")
    if reference is not None:
        canvas.line([(place(reference), 4), (place(reference), foot)], class_="ink", stroke_dasharray="3 3")
    for number, one in enumerate(found):
        top = _EACH * number
        canvas.text(_LEFT, top + TEXT + 1, one.name, class_="ground")
        canvas.text(WIDTH - 2, top + TEXT + 1, one.said, "end", class_="ground")
        start = 0.0
        for length, attributes in one.parts:
            left = place(start)
            start += length
            canvas.rect(
                left, top + TEXT + 5, place(start) - left, _THICK, title=f"{one.name}: {one.said}", **attributes
            )
        if one.interval is not None:
            middle = top + TEXT + 5 + _THICK / 2
            low, high = (place(value) for value in one.interval)
            canvas.line([(low, middle), (high, middle)], class_="ink")
            for end in (low, high):
                canvas.line([(end, middle - 3), (end, middle + 3)], class_="ink")
    canvas.text(_RIGHT, foot + 2 * TEXT + 6, label, "end", class_="quiet")
    return canvas.svg(draw_keys(canvas, keys, foot + 2 * TEXT + 14))
