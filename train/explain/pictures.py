"""The pictures: attention maps, Grad-CAM, patch colours and the map of a data set, each one page.

All colour scales are perceptually even and safe for colour-blind readers (magma; Okabe and Ito's colours for classes).
Maps of patches are shown as the patches they are, without smoothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .choice import ShownImages
from .page import (
    FONT,
    INK,
    QUIET,
    SMALL,
    Heading,
    draw_image,
    drawable,
    lay_out,
    lay_out_one,
    short_names,
    shortened,
    text_width,
    write,
)  # fmt: skip

_SCALE = "magma"
_TRUTH, _FOUND = "#56B4E9", "#E69F00"
_CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
_NUMBERED = 8  # classes above which numbers are drawn into the map, as in the paper
_MAP, _LEGEND_LINE = 5.0, 0.138  # inches
_LEGEND = 30  # characters


def attention_picture(
    heading: Heading,
    shown: ShownImages,
    maps: NDArray[np.floating[Any]],
    kept: NDArray[np.bool_] | None = None,
) -> Figure:
    """Rows of images; columns: the image, the map of each head, their mean over the image.

    Args:
        heading: what stands above and below.
        shown: N images; where they have masks, these are outlined on the image.
        maps: (N, heads, g, g), shares of the CLS query's attention.
        kept: (N, heads, g, g): patches to show of each head's map, the image elsewhere; None for all.
    """
    heads = maps.shape[1]
    columns = ["image", *(f"head {head}" for head in range(1, heads + 1)), "mean"]
    page = lay_out(heading, columns, _captions(shown), beside=0.5)
    for index, (row, side) in enumerate(zip(page.cells, page.beside, strict=True)):
        pixels, per_cent = shown.pixels[index], 100 * maps[index].astype(np.float64)
        norm = PowerNorm(0.5, 0, float(np.percentile(per_cent, 99)) or 1.0)
        _original(row[0], shown, index)
        for head in range(heads):
            visible: Any = 1.0
            if kept is not None:
                draw_image(row[1 + head], pixels)
                visible = kept[index, head].astype(float)
            _patches(row[1 + head], per_cent[head], norm, visible, pixels.shape[-1])
        draw_image(row[-1], pixels)
        mean = per_cent.mean(0)
        _patches(row[-1], mean, norm, 0.8 * np.clip(norm(mean), 0, 1), pixels.shape[-1])
        _scale(side, norm, "% of attention", extend="max")
    return page.figure


def grad_cam_picture(
    heading: Heading,
    shown: ShownImages,
    maps: NDArray[np.floating[Any]],
    marked: NDArray[np.bool_],
    remarks: Sequence[str],
) -> Figure:
    """Rows of images; columns: the image, its map, both together; remarks to the right.

    Args:
        heading: what stands above and below.
        shown: N images; where they have masks, these are outlined.
        maps: (N, S, S), in 0..1.
        marked: (N, S, S): the thresholded maps, outlined.
        remarks: of each image, some lines: the class that is explained, its probability, the Dice.
    """
    page = lay_out(
        heading, ("image", "Grad-CAM", "overlay"), _captions(shown), beside=1.25, beside_title="explained", foot=0.45
    )
    norm = Normalize(0, 1)
    for index, (row, side) in enumerate(zip(page.cells, page.beside, strict=True)):
        pixels, size = shown.pixels[index], shown.pixels.shape[-1]
        _original(row[0], shown, index)
        _patches(row[1], maps[index], norm, 1.0, size)
        draw_image(row[2], pixels)
        _patches(row[2], maps[index], norm, 0.8 * np.sqrt(maps[index]), size)
        _outline(row[2], marked[index], _FOUND)
        if shown.masks is not None:
            _outline(row[2], shown.masks[index], _TRUTH)
        write(side, 0.08, side.get_ylim()[1], remarks[index], SMALL, va="top")
    if page.foot is not None:
        _foot(page.foot, norm, masks=shown.masks is not None)
    return page.figure


def pca_picture(heading: Heading, shown: ShownImages, rgb: NDArray[np.float32]) -> Figure:
    """Pairs of an image and its patches as colours.

    Args:
        heading: what stands above and below.
        shown: N images; where they have masks, these are outlined on the image.
        rgb: (N, g, g, 3), in 0..1.
    """
    page = lay_out(heading, ("image", "patch tokens"), _captions(shown))
    for index, row in enumerate(page.cells):
        _original(row[0], shown, index)
        row[1].imshow(rgb[index], interpolation="nearest", aspect="equal")
    return page.figure


def umap_picture(heading: Heading, coordinates: NDArray[np.floating[Any]], labels: Sequence[str]) -> Figure:
    """The map of a data set, a colour and a marker for each class, with a legend.

    With more than eight classes their numbers, by name, are drawn into the map as in the paper's figure 6.

    Args:
        heading: what stands above and below.
        coordinates: (N, 2).
        labels: the class of each image; all empty where there are none.
    """
    classes = _in_order(set(labels))
    numbered = len(classes) > _NUMBERED
    own_numbers = _are_numbers(classes)
    tags = classes if own_numbers else tuple(str(number) for number in range(len(classes)))
    counts = Counter(labels)
    entries = []
    for tag, name in zip(tags, classes, strict=True):
        text = f"{tag}  {name}" if numbered and not own_numbers else name or "no label"
        entries.append(drawable(f"{shortened(text, _LEGEND)} ({counts[name]})"))
    across, up = np.maximum(np.ptp(coordinates, axis=0), 1e-9).tolist()
    ratio = min(max(up / across, 0.5), 2.0)
    width, height = _MAP / max(1.0, ratio), _MAP * min(1.0, ratio)
    columns = -(-len(classes) // int(height / _LEGEND_LINE))
    named = classes != ("",)
    beside = columns * (max(text_width(entry, SMALL) for entry in entries) + 0.35) if named else 0.3
    page = lay_out_one(heading, width, height, beside)
    axes, side, of = page.cells[0][0], page.beside[0], np.array(labels)
    size = float(np.clip(4000 / len(labels), 3, 22))
    handles = []
    for number, name in enumerate(classes):
        own = coordinates[of == name]
        # each lap through the colours takes another marker, so that 64 classes differ
        colour, marker = _CLASSES[number % 8], _MARKERS[(number // 8 if numbered else number) % 8]
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "linestyle": "",
            "markeredgewidth": 0.2,
            "markeredgecolor": "white",
        }
        axes.plot(own[:, 0], own[:, 1], markersize=np.sqrt(size), alpha=0.75, **look)
        handles.append(Line2D([], [], markersize=4, label=entries[number], **look))
    if numbered:
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
        for tag, name in zip(tags, classes, strict=True):
            x, y = np.median(coordinates[of == name], axis=0)
            write(axes, x, y, tag, SMALL, ha="center", va="center", bbox=box)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.04)
    if named:
        legend = side.legend(
            handles=handles, loc="upper left", ncols=columns, frameon=False, borderaxespad=0, handletextpad=0.2,
            prop={"family": FONT, "size": SMALL}, labelcolor=INK,
        )  # fmt: skip
        for entry in legend.get_texts():
            entry.set_parse_math(False)
    return page.figure


def _are_numbers(names: Iterable[str]) -> bool:
    return all(name.removeprefix("-").isdecimal() for name in names)


def _in_order(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=int) if _are_numbers(names) else sorted(names))


def _captions(shown: ShownImages) -> list[tuple[str, str]]:
    return list(zip(short_names(shown.names), shown.labels, strict=True))


def _original(axes: Axes, shown: ShownImages, index: int) -> None:
    draw_image(axes, shown.pixels[index])
    if shown.masks is not None:
        _outline(axes, shown.masks[index], _TRUTH)


def _patches(axes: Axes, values: NDArray[Any], norm: Normalize, alpha: Any, size: int) -> None:
    """A map over the whole of an image of `size` pixels; `alpha` is one number or one for each patch."""
    extent = (-0.5, size - 0.5, size - 0.5, -0.5)
    axes.imshow(values, cmap=_SCALE, norm=norm, alpha=alpha, extent=extent, interpolation="nearest", aspect="equal")


def _outline(axes: Axes, mask: NDArray[np.bool_], colour: str) -> None:
    if mask.any() and not mask.all():  # else there is no line to draw
        padded = np.pad(mask.astype(float), 1)  # so that the line closes where a mask meets the edge
        places = np.arange(-1, len(mask) + 1)
        axes.contour(places, places, padded, levels=[0.5], colors=[colour], linewidths=0.8)
        axes.set(xlim=(-0.5, len(mask) - 0.5), ylim=(len(mask) - 0.5, -0.5))


def _scale(side: Axes, norm: Normalize, title: str, extend: str) -> None:
    """A colour bar in the space beside a row, which counts in inches."""
    bar = side.inset_axes((0.05, 0.0, 0.08, side.get_ylim()[1]), transform=side.transData)
    _colour_bar(side, bar, norm, title, "vertical", extend)


def _foot(strip: Axes, norm: Normalize, *, masks: bool) -> None:
    top = strip.get_ylim()[1]
    bar = strip.inset_axes((0.0, top - 0.16, 1.6, 0.08), transform=strip.transData)
    _colour_bar(strip, bar, norm, "share of the map's maximum", "horizontal", "neither")
    handles = [Line2D([], [], color=_FOUND, linewidth=1, label="above the threshold")]
    if masks:
        handles.append(Line2D([], [], color=_TRUTH, linewidth=1, label="mask"))
    strip.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.9, top - 0.02), bbox_transform=strip.transData,
        frameon=False, borderaxespad=0, prop={"family": FONT, "size": SMALL}, labelcolor=INK,
    )  # fmt: skip


def _colour_bar(parent: Axes, bar: Axes, norm: Normalize, title: str, orientation: Any, extend: str) -> None:
    figure: Any = parent.figure
    drawn = figure.colorbar(ScalarMappable(norm, _SCALE), cax=bar, orientation=orientation, extend=extend)
    top = float(norm.vmax or 1)
    drawn.set_ticks([tick for tick in MaxNLocator(4).tick_values(0, top) if 0 <= tick <= top * (1 + 1e-9)])
    drawn.outline.set(linewidth=0.4, edgecolor=QUIET)
    drawn.set_label(title, fontsize=SMALL, fontfamily=FONT, color=INK, labelpad=2)
    bar.tick_params(
        labelsize=SMALL - 1, width=0.4, length=2, color=QUIET, labelcolor=INK, pad=1.5, labelfontfamily=FONT
    )
