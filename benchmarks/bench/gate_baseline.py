"""What unchanged runs showed, by class of machine: what later ones are held to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path

import numpy as np

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError

from .documents import read_document
from .gate_limit import FEWEST_RUNS
from .machine_class import machine_class
from .report import Report
from .row import Row
from .work import Work

BUSY = 0.3
"""Share of the machine's processor time used by others, above which nothing is said of speed: what shares the caches
slows engines unequally, and PyTorch most, in processor time too."""
QUIETEST = 5
"""Percentile: rounds are counted by their fastest run, and of them the fastest twentieth."""
Key = tuple[Work, str, str]
"""See `Recorded.key`."""
SCHEMA = 2
"""1 had the median of the rounds' ratios for a speed."""
PACKAGED = Path(__file__).parent / "gate_baseline.json"
"""Of what ``radiodino-bench gate`` measures by default."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One contender in one work: each run's speed, and the worst of the rest that any run showed."""

    work: Work
    name: str
    images: str
    """In words: those that answers were compared on."""
    compute: str
    """See `Row.compute`."""
    speeds: tuple[float, ...]
    """`Gated.speed` of each run."""
    peak_mib: float | None
    """The largest; None outside Linux."""
    file_bytes: int
    """The largest."""
    min_cosine: float | None
    """The smallest, as all below; see `radiodino.benchmarks.bench.row.Quality`."""
    same_label: float | None
    dice_to_original: float | None
    changes: dict[str, float]

    @property
    def key(self) -> Key:
        """What makes it the same row in two runs."""
        return self.work, self.images, self.name


@dataclass(frozen=True, kw_only=True)
class ClassRecord:
    """One class of machines."""

    processors: tuple[str, ...]
    """On which it was measured."""
    date: str
    """Of the last run."""
    versions: dict[str, str]
    """Of what computed in it."""
    rows: tuple[Recorded, ...]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """All classes."""

    schema: int = SCHEMA
    classes: dict[str, ClassRecord]
    """By the names that `machine_class` gives."""

    def of_any_class(self, key: Key) -> Recorded | None:
        """What no class was worse than; None where no class has such a row."""
        found = [row for record in self.classes.values() for row in record.rows if row.key == key]
        return reduce(_joined, found) if found else None


def record(reports: Sequence[Report], before: Baseline, *, extend: bool) -> Baseline:
    """`before` with what `reports` show in place of what it has of the same rows and classes, or added to it.

    Args:
        reports: of unchanged runs; those of a busy machine are left out.
        before: its other rows and its other classes are kept.
        extend: whether runs are added to those recorded of the same rows.

    Raises:
        InputError: fewer than `FEWEST_RUNS` runs of a row, or none.
    """
    calm = [report for report in reports if not is_busy(report)]
    if not calm:
        raise InputError(
            f"others used more than {BUSY:.0%} of the processor's time in all runs: record on a calm machine"
        )
    groups: dict[str, list[Report]] = {}
    for report in calm:
        groups.setdefault(machine_class(report.machine, report.isa), []).append(report)
    own = {name: _class_record(group, before.classes.get(name), extend=extend) for name, group in groups.items()}
    return Baseline(classes=before.classes | own)


@dataclass(frozen=True)
class Gated:
    """A row that is recorded and judged."""

    row: Row
    is_busy: bool
    """Whether the machine was busy with other things meanwhile."""
    speed: float
    """How many times less processor time than the original, see `undisturbed`. With one thread that is the time of a
    run where nothing else is done, and waiting for a turn is not in it."""


def gated_rows(report: Report) -> dict[Key, Gated]:
    """Those of `report`: no original, no peer, and nothing on a GPU, for classes are of CPUs.

    Raises:
        InputError: it does not say what processor time runs took.
    """
    images = {note.work: note.images for note in report.works}
    originals = {row.work: row.cpu_seconds for row in report.rows if row.is_original and row.device == "cpu"}
    found = {}
    for row in report.rows:
        if row.is_original or row.is_peer or row.device != "cpu":
            continue
        if not row.cpu_seconds:
            raise InputError(f"the report of {report.date} does not say what processor time runs took: measure again")
        speed = undisturbed(originals[row.work]) / undisturbed(row.cpu_seconds)
        found[row.work, images[row.work], row.name] = Gated(row, is_busy(report), speed)
    return found


def undisturbed(rounds: Sequence[Sequence[float]]) -> float:
    """Processor seconds of a run in the rounds that others disturbed least.

    What shares the caches and the matrix units of a host only ever adds time, to one engine more than to another, and
    is seldom there in all rounds: over unchanged runs the ratio of these differs a quarter as much as the median of the
    rounds' ratios where an engine computes in bf16, and nowhere more.

    Args:
        rounds: processor seconds of each run, by round.
    """
    return float(np.percentile([min(runs) for runs in rounds], QUIETEST))


def is_busy(report: Report) -> bool:
    """Whether the machine was busy with other things, so that nothing is said of speed."""
    return any(note.others > BUSY for note in report.works)


def read_baseline(path: Path) -> Baseline:
    """What `write_baseline` wrote.

    Raises:
        InputError: there is no such file, or it is none, or of another version.
    """
    cure = "give one that  radiodino-bench gate --update --baseline FILE  wrote"
    return read_document(Baseline, path, schema=SCHEMA, missing="baseline", noun="baseline", cure=cure)


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write `baseline` as JSON; a file that is there is replaced.

    Raises:
        OutputError: where it cannot be written.
    """
    with atomic_path(path, overwrite=True) as temporary:
        text = json.dumps(asdict(baseline), indent=1, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _class_record(reports: Sequence[Report], old: ClassRecord | None, *, extend: bool) -> ClassRecord:
    kept = {row.key: row for row in old.rows} if old else {}
    found: dict[Key, Recorded] = {}
    for key, one in (pair for report in reports for pair in gated_rows(report).items()):
        before, new = found.get(key) or (kept.get(key) if extend else None), _recorded(one, key[1])
        found[key] = _joined(before, new) if before else new
    for row in found.values():
        if len(row.speeds) < FEWEST_RUNS:
            raise InputError(
                f"{len(row.speeds)} runs of {row.name} ({row.work}) do not tell how far runs lie apart: record at "
                f"least {FEWEST_RUNS}"
            )
    still = old.processors if old and (extend or kept.keys() - found.keys()) else ()
    last = max(reports, key=lambda report: report.date)
    return ClassRecord(
        processors=tuple(dict.fromkeys([*still, *(report.machine.processor for report in reports)])),
        date=last.date,
        versions=last.versions,
        rows=tuple((kept | found).values()),
    )


def _recorded(one: Gated, images: str) -> Recorded:
    row, quality = one.row, one.row.quality
    return Recorded(
        work=row.work,
        name=row.name,
        images=images,
        compute=row.compute,
        speeds=(one.speed,),
        peak_mib=row.peak_mib,
        file_bytes=row.file_bytes,
        min_cosine=quality.min_cosine if quality else None,
        same_label=quality.same_label if quality else None,
        dice_to_original=quality.dice_to_original if quality else None,
        changes=dict(quality.changes) if quality else {},
    )


def _joined(first: Recorded, then: Recorded) -> Recorded:
    """The runs of both; of the rest the worst. What one of them was not asked is not held against later ones."""
    return Recorded(
        work=first.work,
        name=first.name,
        images=first.images,
        compute=then.compute,
        speeds=(*first.speeds, *then.speeds),
        peak_mib=_both(max, first.peak_mib, then.peak_mib),
        file_bytes=max(first.file_bytes, then.file_bytes),
        min_cosine=_both(min, first.min_cosine, then.min_cosine),
        same_label=_both(min, first.same_label, then.same_label),
        dice_to_original=_both(min, first.dice_to_original, then.dice_to_original),
        changes={name: min(first.changes[name], then.changes[name]) for name in first.changes if name in then.changes},
    )


def _both(worse: Callable[[Iterable[float]], float], first: float | None, then: float | None) -> float | None:
    return None if first is None or then is None else worse((first, then))
