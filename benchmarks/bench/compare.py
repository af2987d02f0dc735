"""What moved between two reports, beyond noise.

Speed is compared as the ratio to the PyTorch original of the same run, so that a machine that is slower today moves
nothing by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .report import Report
from .row import Row
from .summary import CONFIDENCE, DRAWS, Ratio
from .work import Work

FLOOR = 0.05
"""Two runs of the very same may differ by this share of the ratio for what no round of one run shows: where in memory a
process happens to lie, how warm the processor is."""
_COSINE = 1e-4
_SCORE = 1e-9
_MEMORY = 0.1
SLOWER, FASTER, SAME = "slower", "faster", "as before"


@dataclass(frozen=True, kw_only=True)
class Change:
    """Of one contender in one work."""

    work: Work
    name: str
    before: float
    """Ratio to the original."""
    after: float
    ratio: Ratio
    """`after` / `before`, with its bootstrap interval over the rounds of both."""
    verdict: str
    """`SLOWER` or `FASTER` where the interval leaves 1 out and the ratio moved by more than `FLOOR`, else `SAME`."""
    others: tuple[str, ...]
    """What else changed: file, memory, answers; as phrases."""


@dataclass(frozen=True)
class Comparison:
    """Of two reports."""

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    """Rows of the first that the second has not."""
    new: tuple[str, ...]
    """Rows of the second that the first has not."""
    notes: tuple[str, ...]
    """What must be known of the comparison, as sentences."""


def compare(before: Report, after: Report) -> Comparison:
    """What moved from `before` to `after`; the originals themselves are not compared."""
    old, new = _rows(before), _rows(after)
    changes = [
        _change(old[key], new[key], _original(before, old[key]), _original(after, new[key]))
        for key in old
        if key in new and not old[key].is_original
    ]
    return Comparison(
        tuple(changes),
        tuple(_said(key) for key in old if key not in new),
        tuple(_said(key) for key in new if key not in old),
        tuple(_notes(before, after)),
    )


def round_ratios(original: Row, row: Row) -> NDArray[np.float64]:
    """Median run of `original` / median run of `row`, of each round."""
    pairs = zip(original.seconds, row.seconds, strict=True)
    return np.array([statistics.median(its) / statistics.median(own) for its, own in pairs], np.float64)


def change_of(before: NDArray[np.float64], after: NDArray[np.float64]) -> Ratio:
    """Median of `after` / median of `before`, with the interval of the quotient under redrawn rounds of both."""
    random = np.random.default_rng(0)
    drawn = [np.median(random.choice(ratios, (DRAWS, len(ratios))), axis=1) for ratios in (before, after)]
    low, high = np.percentile(drawn[1] / drawn[0], (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    return Ratio(value=float(np.median(after) / np.median(before)), low=float(low), high=float(high))


def verdict_of(change: Ratio) -> str:
    """See `Change.verdict`."""
    if change.high < 1 and change.value < 1 - FLOOR:
        return SLOWER
    return FASTER if change.low > 1 and change.value > 1 + FLOOR else SAME


_Key = tuple[Work, str]


def _rows(report: Report) -> dict[_Key, Row]:
    return {(row.work, row.name): row for row in report.rows}


def _original(report: Report, row: Row) -> Row:
    return next(one for one in report.rows if one.is_original and (one.work, one.device) == (row.work, row.device))


def _change(before: Row, after: Row, original_before: Row, original_after: Row) -> Change:
    ratios = round_ratios(original_before, before), round_ratios(original_after, after)
    change = change_of(*ratios)
    return Change(
        work=before.work,
        name=before.name,
        before=float(np.median(ratios[0])),
        after=float(np.median(ratios[1])),
        ratio=change,
        verdict=verdict_of(change),
        others=tuple(_others(before, after)),
    )


def _others(before: Row, after: Row) -> Sequence[str]:
    said = []
    if before.compute != after.compute:
        said.append(f"computes in {after.compute}, not {before.compute}")
    if before.version != after.version:
        said.append(f"{after.engine} {after.version}, not {before.version}")
    if before.file_bytes != after.file_bytes:
        said.append(f"file {after.file_bytes - before.file_bytes:+,} bytes")
    if before.peak_mib and after.peak_mib and abs(after.peak_mib / before.peak_mib - 1) > _MEMORY:
        said.append(f"peak memory {before.peak_mib:.0f} → {after.peak_mib:.0f} MiB")
    old, new = before.quality, after.quality
    if old and new:
        if abs(new.min_cosine - old.min_cosine) > _COSINE:
            said.append(f"smallest cosine {old.min_cosine:.5f} → {new.min_cosine:.5f}")
        for name in old.scores.keys() & new.scores.keys():
            if abs(new.scores[name] - old.scores[name]) > _SCORE:
                said.append(f"{name} {100 * old.scores[name]:.2f} → {100 * new.scores[name]:.2f} %")
    return said


def _notes(before: Report, after: Report) -> list[str]:
    said = []
    for entry in ("processor", "instruction_sets", "usable_cores"):
        old, new = (getattr(report.machine, entry) for report in (before, after))
        if old != new:
            said.append(f"another machine: {entry.replace('_', ' ')} {old} and {new}")
    if before.isa != after.isa:
        said.append(f"limited to {before.isa or 'nothing'} and to {after.isa or 'nothing'}")
    said += [f"{note.work}: {note.noise}" for report in (before, after) for note in report.works if note.noise]
    return said


def _said(key: _Key) -> str:
    return f"{key[0]}: {key[1]}"
