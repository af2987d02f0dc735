"""Points, and lines from point to point, between two axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .axis import Axis
from .canvas import LETTER, TEXT, WIDTH, Anchor, Canvas
from .looks import Key, Look, draw_keys

_LEFT, _RIGHT, _TOP, _FOOT = 42.0, WIDTH - 12, 20.0, 224.0
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """One."""

    x: float
    y: float
    look: Look
    title: str
    """Its numbers, for who points at it."""
    label: str = ""
    """Written beside it where there is room."""


def plane(
    across: Axis,
    up: Axis,
    points: Sequence[Point],
    keys: Sequence[Key],
    *,
    lines: Sequence[Sequence[Point]] = (),
    said: Callable[[float], str] = "{:g}".format,
    is_downward: bool = False,
) -> str:
    """An SVG element.

    Args:
        across: the axis below.
        up: the axis on the left, its label above it.
        points: each with its mark.
        keys: below.
        lines: each from point to point.
        said: what is written beside a tick of `up`.
        is_downward: whether the least of `up` is at the top.
    """
    canvas = Canvas()

    def place(x: float, y: float) -> tuple[float, float]:
        share = up.share(y)
        share = share if is_downward else 1 - share
        return _LEFT + (_RIGHT - _LEFT) * across.share(x), _TOP + (_FOOT - _TOP) * share

    taken: list[_Box] = []
    canvas.text(2, TEXT, up.label, class_="quiet")
    for tick in up.ticks:
        _, y = place(across.low, tick)
        canvas.line([(_LEFT, y), (_RIGHT, y)], class_="line")
        canvas.text(_LEFT - 4, y + 4, said(tick), "end", class_="quiet")
        taken.append((0, y - 7, _LEFT - 2, y + 5))
    for tick in across.ticks:
        x, _ = place(tick, up.low)
        canvas.line([(x, _TOP), (x, _FOOT)], class_="line")
        canvas.text(x, _FOOT + TEXT + 3, f"{tick:g}", "middle", class_="quiet")
    canvas.text(_RIGHT, _FOOT + 2 * TEXT + 7, across.label, "end", class_="quiet")
    for line in lines:
        canvas.line([place(point.x, point.y) for point in line], **line[0].look.stroke())
    for point in points:
        x, y = place(point.x, point.y)
        point.look.mark(canvas, x, y, point.title)
        taken.append((x - 4, y - 4, x + 4, y + 4))
    for point in sorted(points, key=lambda one: one.x):
        if point.label:
            _write(canvas, place(point.x, point.y), point.label, taken)
    return canvas.svg(draw_keys(canvas, keys, _FOOT + 2 * TEXT + 15))


def _write(canvas: Canvas, at: tuple[float, float], label: str, taken: list[_Box]) -> None:
    """Beside a mark, on the first side where nothing else is; nowhere where there is none."""
    (x, y), wide = at, LETTER * len(label)
    sides: tuple[tuple[float, float, Anchor], ...] = (
        (8, 4, "start"), (-8, 4, "end"), (0, -7, "middle"), (0, 15, "middle"), (-4, -7, "start"), (-4, 15, "start"),
        (4, -7, "end"), (4, 15, "end"),
    )  # fmt: skip
    for right, down, anchor in sides:
        left = x + right - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        box = (left, y + down - TEXT + 1, left + wide, y + down + 2)
        inside = box[0] >= 0 and box[2] <= WIDTH and box[1] >= _TOP - 6 and box[3] <= _FOOT
        if inside and not any(_overlap(box, other) for other in taken):
            canvas.text(x + right, y + down, label, anchor, class_="ground")
            taken.append(box)
            return


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
