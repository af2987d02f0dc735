"""The plots of a page, each of numbers that its tables show too; one without data is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from radiodino.train.report.blocks import Drawing

from ..row import Row
from ..tables import COST, FROM_FILE, QUALITY, SPEED
from ..work import Work
from .axis import Axis, around, by_factors
from .bars import Bar, bars
from .looks import Key, area, keys_of_engines, keys_of_lines, keys_of_precisions, look_of
from .networks import Measurement, Network
from .plane import Point, plane

EQUAL = 1e-8
"""Where 1 − cosine is less, answers are the same but for rounding in float32: drawn as this."""
_LATENCY = "ms per run, p50"
_PALE = "0.35"


def drawings(network: Network) -> tuple[Drawing, ...]:
    """All of one network for which there are numbers, at least two rows of them."""
    main = network.main
    found = [
        *(_faster(main, device) for device in main.devices),
        _bars(main, _MEMORY),
        *(_score(main, name, title) for name, title in _SCORES.items()),
        _closeness(main),
        *(_bars(main, plot) for plot in _OTHER_BARS),
        *(_lines(network, course, plot) for course in _COURSES for plot in _LINES),
    ]
    return tuple(one for one in found if one is not None)


def _faster(one: Measurement, device: str) -> Drawing | None:
    rows = sorted(one.on(device), key=lambda row: -row.ratio.value)
    if len(rows) < 2:
        return None
    found = [
        Bar(
            _name(row),
            SPEED["× faster (95 %)"](row),
            ((row.ratio.value, look_of(row).fill()),),
            None if row.is_original else (row.ratio.low, row.ratio.high),
        )
        for row in rows
    ]
    where = "" if device == "cpu" else f", {device}"
    return Drawing(
        f"Times faster than PyTorch{where}",
        bars(found, "times faster than PyTorch eager fp32", keys_of_engines(rows), reference=1.0),
        _listed(found),
        f"{_about(one)} Right of the dashed line is faster; whiskers: 95 % bootstrap intervals over the rounds.",
    )


# Latency against what the answers are worth.

_SCORES = {"accuracy": "accuracy", "dice": "Dice of lesions"}


def _score(one: Measurement, name: str, title: str) -> Drawing | None:
    rows = [row for row in one.rows if row.quality and name in row.quality.scores]
    values = [100 * row.quality.scores[name] for row in rows if row.quality]
    label = rows[0].quality.label if rows and rows[0].quality and name == "accuracy" else None
    of = f" of the {label}" if label else ""
    said = [f"{title} {value:.1f} %" for value in values]
    up = around(f"{title}{of}, %", values, 4.0, (0.0, 100.0)) if rows else None
    return _against_latency(one, rows, values, said, up, title, f"Up is better, judged on {one.note.images}.")


def _closeness(one: Measurement) -> Drawing | None:
    rows = [row for row in one.rows if row.quality]
    values = [max(EQUAL, 1 - row.quality.min_cosine) for row in rows if row.quality]
    said = [f"smallest cosine {QUALITY['smallest'](row)}" for row in rows]
    ticks = [10.0**power for power in range(-8, 1) if not values or 10.0**power <= 10 * max(values)]
    up = by_factors("1 − smallest cosine to the original", [*values, EQUAL, 1e-5], ticks) if rows else None
    note = f"Up is closer to the original's answers, on {one.note.images}; 10⁻⁸ and less is drawn as 10⁻⁸."
    return _against_latency(one, rows, values, said, up, "closeness to the original", note, is_downward=True)


def _against_latency(
    one: Measurement,
    rows: Sequence[Row],
    values: Sequence[float],
    said: Sequence[str],
    up: Axis | None,
    title: str,
    note: str,
    *,
    is_downward: bool = False,
) -> Drawing | None:
    if len(rows) < 2 or up is None:
        return None
    better = [value if is_downward else -value for value in values]
    points = [
        Point(
            row.latency.p50, value, look_of(row), f"{_name(row)}: {SPEED['p50 (ms)'](row)} ms, {words}",
            row.name if row.is_original or _unbeaten(row, worth, rows, better) else "",
        )
        for row, value, words, worth in zip(rows, values, said, better, strict=True)
    ]  # fmt: skip
    svg = plane(
        by_factors(_LATENCY, [row.latency.p50 for row in rows]),
        up,
        points,
        [*keys_of_engines(rows), *keys_of_precisions(rows)],
        said=_power if is_downward else "{:g}".format,
        is_downward=is_downward,
    )
    return Drawing(
        f"Latency against {title}",
        svg,
        "; ".join(point.title for point in points),
        f"{_about(one)} Left is faster. {note} Named: the original, and what none beats in both.",
    )


def _unbeaten(row: Row, worth: float, rows: Sequence[Row], worths: Sequence[float]) -> bool:
    """Whether no other is as good in both and better in one; the less the better."""
    own = (row.latency.p50, worth)
    others = [(other.latency.p50, value) for other, value in zip(rows, worths, strict=True)]
    return not any(other[0] <= own[0] and other[1] <= own[1] and other != own for other in others)


def _power(value: float) -> str:
    return "10" + str(f"{value:.0e}".split("e")[1].lstrip("+")).translate(_RAISED).replace("⁰", "", 1)


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


# What it costs.


@dataclass(frozen=True)
class _BarPlot:
    title: str
    label: str
    parts: Callable[[Row], tuple[float, ...] | None]
    """Lengths, or None where a row has none."""
    said: Callable[[Row], str]
    note: str
    names: tuple[str, ...] = ()
    """Of the parts, where there are several."""


_MEMORY = _BarPlot(
    "Peak memory",
    "peak memory, MiB",
    lambda row: None if row.peak_mib is None else (row.peak_mib,),
    lambda row: f"{COST['peak memory (MiB)'](row)} MiB",
    "Of the whole process, interpreter and libraries included.",
)
_OTHER_BARS = (
    _BarPlot(
        "File size",
        "file, MB",
        lambda row: (row.file_bytes / 1e6,),
        lambda row: f"{COST['file (MB)'](row)} MB",
        "Of the original: its numbers as a checkpoint holds them.",
    ),
    _BarPlot(
        "From the start to the first answer",
        "seconds",
        lambda row: (row.import_seconds, row.load_seconds, row.first_seconds),
        lambda row: f"{row.import_seconds + row.load_seconds + row.first_seconds:.2f} s",
        "Import of the libraries, opening of the file, first run.",
        ("import", "load", "first run"),
    ),
    _BarPlot(
        "From an image on disk to the answer",
        "ms, p50",
        lambda row: _shares(row),
        lambda row: f"{FROM_FILE['from a file, p50 (ms)'](row)} ms",
        "Decode, resize and normalise, inference: median shares of the time. The original is the model card's snippet.",
        ("decode", "resize", "inference"),
    ),
)
_PARTS = ("#0072b2", "#56b4e9", "#e69f00")


def _shares(row: Row) -> tuple[float, ...] | None:
    found = row.from_file
    if found is None:
        return None
    return tuple(share * found.latency.p50 for share in (found.decode, found.resize, found.inference))


def _bars(one: Measurement, plot: _BarPlot) -> Drawing | None:
    parted = [(row, parts) for row in one.rows if (parts := plot.parts(row)) is not None]
    if len(parted) < 2:
        return None
    rows = [row for row, _ in parted]
    found = [
        Bar(_name(row), plot.said(row), tuple(zip(parts, _fills(row, plot), strict=True)))
        for row, parts in sorted(parted, key=lambda item: sum(item[1]))
    ]
    keys = keys_of_engines(rows) if not plot.names else _keys_of_parts(plot.names)
    pale = " Pale: what one would take otherwise." if plot.names and any(row.is_peer for row in rows) else ""
    return Drawing(
        plot.title, bars(found, plot.label, keys), _listed(found), f"{_about(one)} Least first. {plot.note}{pale}"
    )


def _fills(row: Row, plot: _BarPlot) -> list[dict[str, str]]:
    if not plot.names:
        return [look_of(row).fill()]
    return [{"fill": colour, "fill_opacity": _PALE if row.is_peer else "1"} for colour in _PARTS]


def _keys_of_parts(names: Sequence[str]) -> list[Key]:
    return [(name, area(fill=colour)) for name, colour in zip(names, _PARTS, strict=True)]


# Cost against the image size, and against the batch.


@dataclass(frozen=True)
class _Course:
    name: str
    unit: str
    of: Callable[[Work], int]
    fixed: Callable[[Work], int]


@dataclass(frozen=True)
class _LinePlot:
    title: str
    label: str
    value: Callable[[Row], float | None]
    said: Callable[[float], str]


_COURSES = (
    _Course("image size", "px", lambda work: work.image_size, lambda work: work.batch_size),
    _Course("batch", "images", lambda work: work.batch_size, lambda work: work.image_size),
)
_LINES = (
    _LinePlot(
        "Time per image", "ms per image, p50", lambda row: row.latency.p50 / row.work.batch_size, "{:.3g} ms".format
    ),
    _LinePlot("Peak memory", "peak memory, MiB", lambda row: row.peak_mib, "{:.0f} MiB".format),
)


def _lines(network: Network, course: _Course, plot: _LinePlot) -> Drawing | None:
    own = [one for one in network.found if course.fixed(one.work) == course.fixed(network.main.work)]
    own.sort(key=lambda one: course.of(one.work))
    by_name: dict[str, list[Point]] = {}
    rows: dict[str, Row] = {}
    for row in (row for one in own for row in one.rows):
        value = plot.value(row)
        if value is None or row.is_peer:
            continue
        at = course.of(row.work)
        title = f"{row.name}, {at} {course.unit}: {plot.said(value)}"
        by_name.setdefault(row.name, []).append(Point(at, value, look_of(row), title))
        rows[row.name] = row
    lines = [line for line in by_name.values() if len(line) > 1]
    if not lines:
        return None
    points = [point for line in lines for point in line]
    steps = sorted({point.x for point in points})
    svg = plane(
        by_factors(f"{course.name}, {course.unit}", steps, steps),
        by_factors(plot.label, [point.y for point in points]),
        points,
        keys_of_lines([row for name, row in rows.items() if len(by_name[name]) > 1]),
        lines=lines,
    )
    work = network.main.work
    fixed = f"batch {work.batch_size}" if course.unit == "px" else f"{work.image_size} px"
    others = " Others are in the tables." if any(row.is_peer for one in own for row in one.rows) else ""
    weights = "; ".join(dict.fromkeys(one.work.weights for one in own))
    return Drawing(
        f"{plot.title} against {course.name}",
        svg,
        "; ".join(point.title for point in points),
        f"{network.title}, {fixed}; weights: {weights}. Both axes are logarithmic.{others}",
    )


def _about(one: Measurement) -> str:
    return f"{one.work}; weights: {one.work.weights}."


def _name(row: Row) -> str:
    """With the arithmetic, where that is not what the file holds."""
    told = row.precision.startswith("int8") or row.precision == row.compute
    return row.name if told else f"{row.name}, in {row.compute}"


def _listed(found: Sequence[Bar]) -> str:
    return "; ".join(f"{one.name}: {one.said}" for one in found)
