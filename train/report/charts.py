"""The report's own charts: nearest neighbours as a scatter plot, the loss of a pretraining run as a curve.

Built from matplotlib's objects, without `pyplot` and global settings; the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..explain.page import DISCLAIMER, FONT, INK, QUIET, SMALL, TEXT, write

_OURS, _THEIRS = "#0072B2", "#777777"  # Okabe and Ito's blue, and grey
_DPI = 200
_WIDTH, _HEIGHT = 5.6, 3.8  # inches
_LARGEST, _CROSS = 1500.0, 40.0  # areas of markers in square points
POINTS = 1000
"""Most points of a curve."""


@dataclass(frozen=True)
class Point:
    """One model in the scatter plot."""

    label: str
    """Beside its marker."""
    accuracy: float
    f1: float
    """Both in per cent."""
    parameters: float | None
    """In millions; a model without, or of which they are not known, is drawn as a cross."""
    ours: bool


def scatter(points: Sequence[Point]) -> bytes:
    """Accuracy and F1 of each model, the area of its marker proportional to its parameters (paper, figure 4).

    Args:
        points: at least one.

    Returns:
        A PNG file.
    """
    figure, axes = _empty("accuracy (%)", "macro F1 (%)")
    largest = max((point.parameters or 0.0 for point in points), default=0.0) or 1.0
    for point in points:
        colour = _OURS if point.ours else _THEIRS
        if point.parameters:
            look: dict[str, Any] = {
                "s": _LARGEST * point.parameters / largest,
                "marker": "o",
                "facecolors": colour if point.ours else "none",
                "edgecolors": colour,
                "alpha": 0.6 if point.ours else 0.9,
            }
        else:
            look = {"s": _CROSS, "marker": "x", "color": colour}
        axes.scatter([point.accuracy], [point.f1], linewidths=1, **look)
        axes.annotate(
            point.label,
            (point.accuracy, point.f1),
            (math.sqrt(look["s"] / math.pi) + 2, 0),
            textcoords="offset points",
            fontsize=TEXT,
            fontfamily=FONT,
            color=INK,
            va="center",
        )
    axes.margins(0.15)
    _spread_out(axes)
    return _png(figure)


def loss_curve(steps: Sequence[int], losses: Sequence[float], collapse: float | None) -> bytes:
    """The loss over the steps, as means of equal parts where there are more than 1,000.

    Args:
        steps: rising, at least one.
        losses: of each.
        collapse: the loss of a network that tells nothing apart, for a dashed line; None for none.

    Returns:
        A PNG file.
    """
    figure, axes = _empty("step", "loss")
    x, y = curve_points(steps, losses)
    axes.plot(x, y, color=_OURS, linewidth=1, marker="." if len(x) == 1 else "")
    if collapse is not None:
        axes.axhline(collapse, color=_THEIRS, linewidth=0.8, linestyle="--")
        write(axes, x[0], collapse, "collapse", SMALL, color=QUIET, va="bottom")
    axes.margins(x=0.02, y=0.08)
    return _png(figure)


def curve_points(steps: Sequence[int], losses: Sequence[float]) -> tuple[list[float], list[float]]:
    """Steps and losses, at most 1,000: means of parts of equal size, the last of which may be smaller."""
    part = math.ceil(len(steps) / POINTS)
    starts = range(0, len(steps), part)
    means = ([float(np.mean(values[start : start + part])) for start in starts] for values in (steps, losses))
    x, y = means
    return x, y


def _empty(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="white")
    axes.set_xlabel(across, fontsize=TEXT, fontfamily=FONT, color=INK)
    axes.set_ylabel(up, fontsize=TEXT, fontfamily=FONT, color=INK)
    axes.tick_params(labelsize=TEXT, labelfontfamily=FONT, labelcolor=INK, color=QUIET, width=0.5)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.5, linestyle="-")
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set(color=QUIET, linewidth=0.5)
    return figure, axes


def _spread_out(axes: Axes) -> None:
    """At least two percentage points along each axis, so that hardly different models do not look far apart."""
    for limits, change in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
        low, high = limits
        missing = max(0.0, 2.0 - (high - low)) / 2
        change(low - missing, high + missing)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(
        stream, format="png", dpi=_DPI, facecolor="white", metadata={"Disclaimer": DISCLAIMER, "Software": None}
    )
    return stream.getvalue()
