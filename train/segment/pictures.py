"""Pictures of predictions: the image, what was drawn by hand, what each head found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.folder import make_folder
from radiodino.runtime.notice import RESEARCH_USE

_TRUTH, _FOUND = "#2ca02c", "#ff7f0e"
_INCHES = 3.2  # a panel's side


class Outline(NamedTuple):
    """One mask to be drawn over an image."""

    title: str
    mask: NDArray[np.bool_]
    """(S, S)."""
    true: bool
    """Whether it was drawn by hand."""


def choose(dice: NDArray[np.float64], lesions: NDArray[np.bool_], count: int) -> list[int]:
    """Which test images to show: spread from the worst Dice to the best, those with a lesion first.

    Args:
        dice: (N,).
        lesions: (N,): whether there is one.
        count: at most so many with a lesion; and one without, the worst, where there is any.
    """
    ranked = [int(place) for place in np.argsort(dice, kind="stable") if lesions[place]]
    spread = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    empty = [int(place) for place in np.argsort(dice, kind="stable") if not lesions[place]]
    return [ranked[place] for place in spread] + empty[:1]


def draw(path: Path, pixels: NDArray[np.uint8], outlines: Sequence[Outline]) -> None:
    """Write one picture: the image by itself, then once with each outline.

    Args:
        path: the PNG file.
        pixels: (C, S, S), C = 1 or 3.
        outlines: what to draw.

    Raises:
        OutputError: where it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 1 + len(outlines)
    figure = Figure(figsize=(_INCHES * columns, _INCHES + 0.5))
    FigureCanvasAgg(figure)
    shown = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    height = _INCHES / (_INCHES + 0.5)
    for column, outline in enumerate([None, *outlines]):
        panel = figure.add_axes((column / columns + 0.005, 0.04, 1 / columns - 0.01, height), frameon=False)
        panel.set_axis_off()
        panel.imshow(shown, cmap="gray", vmin=0, vmax=255)
        panel.set_title("image" if outline is None else outline.title, fontsize=9)
        if outline is not None and outline.mask.any():
            colour = _TRUTH if outline.true else _FOUND
            closed = np.pad(outline.mask, 1)  # or a lesion at the edge of the image would have an open outline
            places = np.arange(len(closed)) - 1
            panel.contourf(places, places, closed, levels=[0.5, 1], colors=[colour], alpha=0.25)
            panel.contour(places, places, closed, levels=[0.5], colors=[colour], linewidths=1.2)
    figure.text(0.5, 0.01, RESEARCH_USE, fontsize=7, ha="center")
    make_folder(path.parent)
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
