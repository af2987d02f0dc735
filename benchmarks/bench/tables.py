"""A report as tables: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Column, Table

from .compare import SAME, Comparison
from .report import Report
from .row import FromFile, Row, WorkNote
from .summary import Ratio
from .targets import MARGIN, Judged

_NONE = "–"


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.0f} %"


def _milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _ratio(row: Row) -> str:
    return _interval(row, row.ratio)


def _interval(row: Row, found: Ratio) -> str:
    return "1 (the original)" if row.is_original else f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"


def _label(row: Row) -> str:
    found = row.quality
    if found is None or found.label is None or found.same_label is None:
        return _NONE if found is None or found.dice_to_original is None else f"Dice {found.dice_to_original:.4f}"
    said = f"{100 * found.same_label:.1f} % of {found.clear}"
    return said if found.dice_to_original is None else f"{said}, Dice {found.dice_to_original:.4f}"


def _score(row: Row, name: str) -> str:
    value = row.quality.scores.get(name) if row.quality else None
    if value is None or row.quality is None:
        return _NONE
    change = "" if row.is_original else f" ({100 * row.quality.changes[name]:+.1f})"
    return f"{100 * value:.1f}{change}"


Cell = Callable[[Row], str]
"""What a column says of a row."""
SPEED: dict[str, Cell] = {
    "engine": lambda row: row.name,
    "computes in": lambda row: row.compute if not row.precision.startswith("int8") else f"int8, {row.compute}",
    "p50 (ms)": lambda row: _milliseconds(row.latency.p50),
    "p95": lambda row: _milliseconds(row.latency.p95),
    "p99": lambda row: _milliseconds(row.latency.p99),
    "spread": lambda row: _percent(row.latency.spread),
    "images/s": lambda row: f"{row.images_per_second:.4g}",
    "× faster (95 %)": _ratio,
    "GFLOP/s": lambda row: f"{row.gflops:.3g}",
    "of peak": lambda row: _percent(row.peak_share),
}
COST: dict[str, Cell] = {
    "engine": lambda row: row.name,
    "import (s)": lambda row: f"{row.import_seconds:.2f}",
    "load (s)": lambda row: f"{row.load_seconds:.2f}",
    "first run (ms)": lambda row: _milliseconds(1000 * row.first_seconds),
    "peak memory (MiB)": lambda row: _number(row.peak_mib, ".0f"),
    "file (MB)": lambda row: f"{row.file_bytes / 1e6:.1f}",
}
QUALITY: dict[str, Cell] = {
    "engine": lambda row: row.name,
    "cosine, mean": lambda row: _number(row.quality.mean_cosine if row.quality else None, ".6f"),
    "smallest": lambda row: _number(row.quality.min_cosine if row.quality else None, ".6f"),
    "same label": _label,
}
_SCORES: dict[str, Cell] = {
    "accuracy (%)": lambda row: _score(row, "accuracy"),
    "F1 (%)": lambda row: _score(row, "f1"),
    "AUC (%)": lambda row: _score(row, "auc"),
    "Dice, lesions (%)": lambda row: _score(row, "dice"),
}


FROM_FILE: dict[str, Cell] = {
    "engine": lambda row: row.name,
    "from a file, p50 (ms)": lambda row: _of_file(row, lambda found: _milliseconds(found.latency.p50)),
    "p95": lambda row: _of_file(row, lambda found: _milliseconds(found.latency.p95)),
    "× faster than the snippet (95 %)": lambda row: _of_file(row, lambda found: _interval(row, found.ratio)),
    "decode": lambda row: _of_file(row, lambda found: _percent(found.decode)),
    "resize": lambda row: _of_file(row, lambda found: _percent(found.resize)),
    "inference": lambda row: _of_file(row, lambda found: _percent(found.inference)),
}


def _of_file(row: Row, cell: Callable[[FromFile], str]) -> str:
    return _NONE if row.from_file is None else cell(row.from_file)


def columns(rows: Sequence[Row]) -> list[dict[str, Cell]]:
    """Of the tables of one work, each column with what it says of a row; scores that no row has are left out."""
    scores = {name: cell for name, cell in _SCORES.items() if any(cell(row) != _NONE for row in rows)}
    from_file = [FROM_FILE] if any(row.from_file for row in rows) else []
    return [SPEED, COST, {**QUALITY, **scores}, *from_file]


def shown(cells: Mapping[str, Cell], rows: Sequence[Row]) -> list[Row]:
    """Those of `rows` that the table of `cells` has."""
    return [row for row in rows if cells is not FROM_FILE or row.from_file is not None]


def work_heading(note: WorkNote, rows: Sequence[Row]) -> str:
    """What is measured, and what it costs."""
    first = rows[0]
    return (
        f"{note.work}, {note.work.weights} weights: {first.parameters / 1e6:.1f} M parameters, {first.gmacs:.2f} GMACs"
    )


def work_notes(note: WorkNote, rows: Sequence[Row]) -> list[str]:
    """What must be known of its rows, as sentences."""
    peaks = ", ".join(f"{name} {value:.0f}" for name, value in note.peaks.items())
    said = [f"GFLOP/s of the fastest matrix product: {peaks}"] if peaks else []
    said.append(f"answers were compared on {note.images}")
    if note.file:
        said.append(f"from a file: {note.file}")
    if note.noise:
        said.append(note.noise)
    said += [f"{row.name}: {remark}" for row in rows for remark in row.remarks]
    unstable = [row.name for row in rows if not row.stable]
    if unstable:
        said.append(f"not stable when the rounds began: {', '.join(unstable)}")
    said += [f"{name} is left out: {reason}" for name, reason in note.left_out.items()]
    return said


def rows_of(report: Report, note: WorkNote) -> list[Row]:
    """The rows of one work."""
    return [row for row in report.rows if row.work == note.work]


def machine_line(report: Report) -> str:
    """Where and with what it was measured."""
    machine = report.machine
    limit = f", engines limited to {report.isa}" if report.isa else ""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"{machine.processor}, {machine.usable_cores} cores{limit}; {versions}; {report.rounds} rounds, {report.date}"
    )


def terminal_tables(report: Report, note: WorkNote) -> list[Table]:
    """The tables of one work."""
    rows = rows_of(report, note)
    found = []
    for number, cells in enumerate(columns(rows)):
        title = None if number else work_heading(note, rows)
        table = Table(*(Column(name, no_wrap=name == "engine") for name in cells), title=title, title_justify="left")
        for row in shown(cells, rows):
            table.add_row(*(cell(row) for cell in cells.values()), style="dim" if row.is_peer else None)
        found.append(table)
    return found


def targets_table(judged: Sequence[Judged]) -> Table:
    """A line for each promise."""
    table = Table("work", "promised", "fastest", "measured", "best peer", "× the best peer", "")
    for one in judged:
        target = one.target
        table.add_row(
            target.name,
            f"{target.ratio:g} ×" + (f", {MARGIN:g} × the best peer" if target.over_peers else ""),
            one.row.name,
            f"{one.ratio:.2f} ×",
            one.peer or _NONE,
            _number(one.over_peer, ".2f"),
            "met" if one.met else f"missed, {one.ratio / target.ratio:.0%} of it" if one.ratio < target.ratio else
            "missed beside the peer",
        )  # fmt: skip
    return table


def comparison_table(comparison: Comparison) -> Table:
    """A line for each contender of both reports."""
    table = Table("work", Column("engine", no_wrap=True), "before", "after", "after / before (95 %)", "", "else")
    for change in comparison.changes:
        found = change.ratio
        table.add_row(
            str(change.work),
            change.name,
            f"{change.before:.2f} ×",
            f"{change.after:.2f} ×",
            f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})",
            change.verdict,
            "; ".join(change.others),
            style=None if change.verdict != SAME or change.others else "dim",
        )
    return table


def markdown(report: Report) -> str:
    """The whole report."""
    lines = ["# radiodino-bench", "", machine_line(report), ""]
    for note in report.works:
        rows = rows_of(report, note)
        lines += [f"## {work_heading(note, rows)}", ""]
        for cells in columns(rows):
            lines += [_line(list(cells)), _line(["---"] * len(cells))]
            lines += [_line([cell(row) for cell in cells.values()]) for row in shown(cells, rows)]
            lines.append("")
        lines += [f"- {sentence}" for sentence in work_notes(note, rows)]
        lines.append("")
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
