"""Whether a run shows a regression: speed beside what chance allows, files and answers exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from radiodino.runtime.errors import InputError

from .gate_baseline import BUSY, Baseline, ClassRecord, Gated, Key, Recorded, gated_rows
from .gate_limit import FEWEST_RUNS, least_speed
from .machine_class import machine_class
from .report import Report
from .row import Row

TEXT_BYTES = 1024
"""Of a file, that come and go with the version numbers and the digits of measured values in its document: half of that
document's."""
COSINE_NOISE = {"fp32": 1e-6, "fp16": 1e-4, "bf16": 1e-4, "int8": 1e-3, "int8-dynamic": 1e-3}
"""By which the smallest cosine of the very same file differs with the instruction sets and versions of an engine, by
precision."""
DICE_NOISE = 1e-3
"""Likewise, of Dice to the original's masks."""
MEMORY = 0.1
"""Share by which peak memory may grow: it is that of the process, libraries included."""
SPEED, PEAK_MEMORY = "speed", "peak memory"
_AGAIN = (SPEED, PEAK_MEMORY)
_FIND = "find the change that did it, or record it with --update where it is meant"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that one row is held to."""

    key: Key
    what: str
    measured: str
    """In words, of each report."""
    allowed: str
    """In words."""
    holds: bool | None
    """None where the machine was too busy to tell."""
    cure: str = _FIND
    """What to do where it does not hold."""

    @property
    def finding(self) -> str:
        """What is the case."""
        work, _images, name = self.key
        return f"{name} ({work}): {self.what} {self.measured}, allowed {self.allowed}"

    @property
    def reason(self) -> str:
        """One sentence for where it does not hold."""
        return f"{self.finding}: {self.cure}"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Of one run, or of several of the same."""

    machine_class: str
    checks: tuple[Check, ...]
    unjudged: tuple[str, ...]
    """Whose speed was not judged, and why; as sentences."""
    notes: tuple[str, ...]
    """What else must be known, as sentences."""

    @property
    def broken(self) -> tuple[Check, ...]:
        """What does not hold."""
        return tuple(check for check in self.checks if check.holds is False)

    @property
    def doubtful(self) -> tuple[Check, ...]:
        """What another measurement may show to be chance, or the doing of others."""
        return tuple(check for check in self.checks if not check.holds and check.what in _AGAIN)


def judge(reports: Sequence[Report], baseline: Baseline) -> Judgement:
    """Hold each row of `reports` to what `baseline` has recorded of it.

    Speed and peak memory, which chance moves, are broken where all reports say so; all else where one does. The speed
    of a machine that was busy with other things says nothing, neither for nor against. Where the class of the machine
    is not recorded, files and answers are held to what no other class was worse than, and neither speed nor memory is
    judged.

    Args:
        reports: one, or several of the same program on the same machine.
        baseline: see there.

    Raises:
        InputError: reports of several classes, or nothing in them that is recorded.
    """
    classes = dict.fromkeys(machine_class(report.machine, report.isa) for report in reports)
    if len(classes) != 1:
        raise InputError(
            f"one class of machines is judged at a time, and the reports are of {', '.join(classes) or 'none'}: give "
            "those of one"
        )
    (name,) = classes
    found = [gated_rows(report) for report in reports]
    keys = list(dict.fromkeys(key for rows in found for key in rows))
    if not keys:
        raise InputError("there is no row to judge: name an engine on the CPU beside pytorch")
    if not any(baseline.of_any_class(key) for key in keys):
        raise InputError(_nothing_recorded(keys[0], baseline))
    record = baseline.classes.get(name)
    own = {row.key: row for row in record.rows} if record else {}
    unjudged = {key: reason for key in keys if (reason := _why_unjudged(name, own.get(key), key))}
    checks: list[Check] = []
    for key in keys:
        gated = [rows[key] for rows in found if key in rows]
        if key not in unjudged:
            checks += _in_class(key, gated, own[key], len(keys) - len(unjudged))
        known = own.get(key) or baseline.of_any_class(key)
        checks += _exactly(key, [one.row for one in gated], known) if known else [_unrecorded(key)]
    return Judgement(
        machine_class=name,
        checks=tuple(checks),
        unjudged=tuple(dict.fromkeys([*unjudged.values(), *(_too_busy(one) for one in checks if one.holds is None)])),
        notes=tuple(dict.fromkeys(_notes(reports, record, keys))),
    )


def _in_class(key: Key, found: Sequence[Gated], recorded: Recorded, judged: int) -> Iterator[Check]:
    """What is the same on machines of one class alone."""
    least = least_speed(recorded.speeds, judged)
    speeds, rows = [one.speed for one in found], [one.row for one in found]
    calm = [speed for speed, one in zip(speeds, found, strict=True) if not one.is_busy]
    yield Check(
        key=key,
        what=SPEED,
        measured=", then ".join(f"{speed:.2f} ×" for speed in speeds),
        allowed=f"≥ {least:.2f} × (usual {median(recorded.speeds):.2f})",
        holds=any(speed >= least for speed in calm) if calm else None,
    )
    memory = [row.peak_mib for row in rows if row.peak_mib is not None]
    if recorded.peak_mib is not None and memory:
        most = recorded.peak_mib * (1 + MEMORY)
        yield Check(
            key=key,
            what=PEAK_MEMORY,
            measured=", then ".join(f"{value:.0f} MiB" for value in memory),
            allowed=f"≤ {most:.0f} MiB",
            holds=any(value <= most for value in memory),
        )
    active = dict.fromkeys(row.compute for row in rows)
    yield Check(
        key=key,
        what="arithmetic",
        measured=", then ".join(active),
        allowed=recorded.compute,
        holds=list(active) == [recorded.compute],
        cure="see why the engine no longer chooses it, or record it with --update where it is meant",
    )


def _exactly(key: Key, rows: Sequence[Row], recorded: Recorded) -> Iterator[Check]:
    """What an unchanged program gives again, but for rounding."""
    largest = max(row.file_bytes for row in rows)
    most = recorded.file_bytes + TEXT_BYTES
    yield Check(key=key, what="file", measured=f"{largest:,} bytes", allowed=f"≤ {most:,} bytes", holds=largest <= most)
    answers = [row.quality for row in rows if row.quality]
    noise = COSINE_NOISE[rows[0].precision]
    yield from _not_below(
        key, "smallest cosine", "{:.6f}", [found.min_cosine for found in answers], recorded.min_cosine, noise
    )
    yield from _not_below(key, "same label", "{:.2%}", [found.same_label for found in answers], recorded.same_label, 0)
    yield from _not_below(
        key, "Dice to the original", "{:.4f}", [found.dice_to_original for found in answers],
        recorded.dice_to_original, DICE_NOISE,
    )  # fmt: skip
    for score, change in recorded.changes.items():
        one_image = max((1 / found.images for found in answers), default=0)
        values = [found.changes.get(score) for found in answers]
        yield from _not_below(key, f"{score} beside the original", "{:+.4f}", values, change, one_image)


def _not_below(
    key: Key, what: str, form: str, values: Sequence[float | None], recorded: float | None, noise: float
) -> Iterator[Check]:
    if recorded is None:
        return
    worst = min((value for value in values if value is not None), default=None)
    yield Check(
        key=key,
        what=what,
        measured="none" if worst is None else form.format(worst),
        allowed=f"≥ {form.format(recorded - noise)}",
        holds=worst is not None and worst >= recorded - noise,
    )


def _unrecorded(key: Key) -> Check:
    return Check(
        key=key,
        what="recorded runs",
        measured="0",
        allowed=f"≥ {FEWEST_RUNS}",
        holds=False,
        cure="record it with --update, or leave it out of --engines and --precisions",
    )


def _why_unjudged(name: str, recorded: Recorded | None, key: Key) -> str | None:
    """Why the speed of a row is not judged; None where it is."""
    work = key[0]
    if work.threads > 1:
        return f"processor time of {work.threads} threads is that of waiting for each other too: measure with one"
    if recorded is None:
        return f"no runs of {work} are recorded for machines of class {name}: record some there with --update"
    return None


def _too_busy(check: Check) -> str:
    return (
        f"{check.finding}, but others used more than {BUSY:.0%} of the processor's time meanwhile, which slows engines "
        "unequally: measure again when they do not"
    )


def _notes(reports: Sequence[Report], record: ClassRecord | None, keys: Sequence[Key]) -> Iterator[str]:
    for report in reports:
        yield from (note.noise for note in report.works if note.noise)
        if any(row.device != "cpu" for row in report.rows):
            yield "rows on a GPU are not judged: classes are of CPUs"
    if record is None:
        return
    if reports[0].machine.processor not in record.processors:
        yield f"this is a {reports[0].machine.processor}, and recorded was {', '.join(record.processors)}"
    for package, before in record.versions.items():
        now = reports[0].versions.get(package, "not installed")
        if now != before:
            yield f"{package} {now}, recorded with {before}"
    asked = {key[:2] for key in keys}
    for row in record.rows:
        if row.key[:2] in asked and row.key not in keys:
            yield f"{row.name} ({row.work}) is recorded and was not measured"


def _nothing_recorded(key: Key, baseline: Baseline) -> str:
    rows = [row for record in baseline.classes.values() for row in record.rows]
    known = dict.fromkeys(_words(row.key) for row in rows)
    return (
        f"the baseline knows nothing of {_words(key)}, but of {' and of '.join(known) or 'nothing'}: record it with "
        "--update and a --baseline of your own"
    )


def _words(key: Key) -> str:
    work, images, _name = key
    return f"{work}, {work.weights} weights, answers on {images}"
