"""Grey and colour transforms of DICOM as pure functions of arrays (PS3.3 C.7.6.3, C.7.9 and C.11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frame import Window
from ..pixels import scale_to_8bit

Point: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""A function of each value alone, from an array of shape (k,) to one of shape (k,) or (k, 3)."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Rescale:
    """Modality values as ``stored * slope + intercept`` in float64 (PS3.3 C.11.1.1.2)."""

    slope: float
    intercept: float

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values (any shape) as modality values."""
        return values.astype(np.float64) * self.slope + self.intercept


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A table of a Modality LUT, VOI LUT or palette (PS3.3 C.11.1.1.1, C.11.2.1.1, C.7.6.3.1.5)."""

    first: int
    """The value that maps to the first entry; what lies below maps there too."""
    entries: NDArray[np.uint16]
    """The outputs, shape (n,), each from 0 to ``2**bits − 1``; what lies above the last maps to the last."""
    bits: int
    """Bits of an output, 8 to 16."""

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """The outputs for `values` (any shape); fractions are rounded to the nearest whole number, halves to even."""
        last = len(self.entries) - 1
        index = np.clip(np.rint(values.astype(np.float64)) - self.first, 0, last).astype(np.intp)
        found: NDArray[np.uint16] = self.entries[index]
        return found

    def in_8bit(self) -> LookupTable:
        """The same table with its outputs scaled from ``0..2**bits − 1`` to ``0..255``."""
        scaled = scale_to_8bit(self.entries, 2**self.bits - 1)
        return LookupTable(self.first, scaled.astype(np.uint16), 8)


def apply_window(values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Modality values through `window` onto 0 to 255, by the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: modality values of any number type and shape.
        window: centre, width and function.

    Returns:
        uint8 of the same shape, rounded to the nearest whole number (halves to the even one).
    """
    x = values.astype(np.float64)
    with np.errstate(over="ignore"):
        if window.function == "SIGMOID":
            return np.rint(255 / (1 + np.exp(-4 * (x - window.center) / window.width))).astype(np.uint8)
        # LINEAR spans c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2, LINEAR_EXACT c - w / 2 to c + w / 2.
        # With a single division, what is exactly halfway between two greys stays so.
        shift = 1.0 if window.function == "LINEAR" else 0.0
        span = window.width - shift
        return stretch(x, window.center - shift / 2 - span / 2, span)


def stretch(values: NDArray[np.float64], low: float, span: float) -> NDArray[np.uint8]:
    """`values` from `low` to `low` + `span` spread linearly over 0 to 255, rounded, what lies outside clipped.

    Where `span` is 0, values up to `low` are 0 and those above 255.
    """
    if span == 0:
        return np.where(values > low, np.uint8(255), np.uint8(0))
    return np.rint(np.clip((values - low) * 255 / span, 0, 255)).astype(np.uint8)


def map_points(stored: NDArray[Any], point: Point, channels: int | None = None) -> NDArray[np.uint8]:
    """`point` applied to every value of `stored`, block by block so that wide intermediates stay small.

    Images of at most 16 bits and more pixels than values between their least and their greatest go through one table of
    these values: the result is the same.

    Args:
        stored: integers or floats of shape (rows, columns).
        point: the function of each value, yielding uint8.
        channels: None where `point` yields one number per value, else how many.

    Returns:
        uint8 of shape (rows, columns) or (rows, columns, channels).
    """
    flat = np.ascontiguousarray(stored).reshape(-1)
    if flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2:
        least, greatest = int(flat.min()), int(flat.max())
        if flat.size > greatest - least:
            point = _by_table(point(np.arange(least, greatest + 1).astype(flat.dtype)), least)
    result = np.empty(flat.shape if channels is None else (*flat.shape, channels), np.uint8)
    for start in range(0, flat.size, _CHUNK):
        result[start : start + _CHUNK] = point(flat[start : start + _CHUNK])
    return result.reshape(stored.shape if channels is None else (*stored.shape, channels))


def _by_table(table: NDArray[Any], first: int) -> Point:
    """The function whose values from `first` on are `table`."""
    return lambda values: table[np.subtract(values, first, dtype=np.intp)]


def extent(
    stored: NDArray[Any], point: Callable[[NDArray[Any]], NDArray[Any]], padding: tuple[int, int] | None
) -> tuple[float, float] | None:
    """The least and the greatest of ``point(value)`` over the values of `stored` that are not padding.

    Args:
        stored: integers of any shape.
        point: the modality transform.
        padding: the least and the greatest stored value that means "no image here", or None.

    Returns:
        The two extremes, or None where all is padding.
    """
    flat = stored.reshape(-1)
    low, high = np.inf, -np.inf
    for start in range(0, flat.size, _CHUNK):
        block = flat[start : start + _CHUNK]
        if padding is not None:
            block = block[(block < padding[0]) | (block > padding[1])]
        if block.size:
            values = point(block)
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else None


def expand_segments(words: NDArray[Any]) -> list[int]:
    """A segmented palette (PS3.3 C.7.9.2) as plain entries; discrete and linear segments are known.

    Args:
        words: the segment data as whole numbers, shape (n,).

    Raises:
        ValueError: where the data end within a segment, begin with a linear one, or hold another kind.
    """
    data = [int(word) for word in words]
    entries: list[int] = []
    position = 0
    while position + 1 < len(data):  # one word may be left as padding
        kind, length = data[position : position + 2]
        position += 2
        used = length if kind == 0 else 1
        if kind not in (0, 1) or position + used > len(data) or (kind == 1 and (not entries or length == 0)):
            raise ValueError("unknown or broken segment")
        if kind == 0:
            entries += data[position : position + length]
        else:
            start, rise = entries[-1], data[position] - entries[-1]
            entries += [int(np.rint((start * length + rise * step) / length)) for step in range(1, length + 1)]
        position += used
    return entries
