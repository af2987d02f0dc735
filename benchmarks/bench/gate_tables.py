"""A judgement as a table: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from rich.table import Column, Table

from .gate import Check, Judgement
from .gate_baseline import ClassRecord
from .gate_limit import least_speed
from .summary import spread_of

_NONE, _HOLDS = "–", "holds"


def gate_tables(judgement: Judgement) -> list[Table]:
    """A table for each work: a line for each row, with what was measured and what is allowed."""
    found = []
    for title, whats, rows in _cells(judgement):
        table = Table(Column("engine", no_wrap=True), *whats, "", title=title, title_justify="left")
        for name, checks in rows.items():
            cells = [_cell(checks.get(what)) for what in whats]
            verdict = _verdict(checks.values())
            table.add_row(name, *cells, verdict, style=None if verdict == _HOLDS else "bold")
        found.append(table)
    return found


def gate_markdown(judgement: Judgement) -> str:
    """The same with all that is said of it."""
    lines = [f"# radiodino-bench gate: {outcome(judgement)}", ""]
    for title, whats, rows in _cells(judgement):
        lines += [f"## {title}", "", _line(["engine", *whats, ""]), _line(["---"] * (len(whats) + 2))]
        for name, checks in rows.items():
            lines.append(_line([name, *(_cell(checks.get(what)) for what in whats), _verdict(checks.values())]))
        lines.append("")
    lines += [f"- {word}: {sentence}" for word, sentence in said(judgement)]
    return "\n".join(lines) + "\n"


def said(judgement: Judgement) -> list[tuple[str, str]]:
    """All that is said of a judgement beside its tables: a word for what it is, and a sentence."""
    return [
        *(("note", sentence) for sentence in judgement.notes),
        *(("speed", f"not judged: {sentence}") for sentence in judgement.unjudged),
        *(("broken", check.reason) for check in judgement.broken),
    ]


def outcome(judgement: Judgement) -> str:
    """In a few words."""
    rows = {check.key for check in judgement.checks}
    broken = {check.key for check in judgement.broken}
    speed = "; speed was NOT judged" if judgement.unjudged else ""
    if broken:
        return f"broken, {len(broken)} of {len(rows)} rows{speed}"
    return f"holds, {len(rows)} rows{speed}"


def recorded_tables(classes: Mapping[str, ClassRecord]) -> list[Table]:
    """A table for each class: what is recorded of each row, and what is allowed from now on."""
    found = []
    for name, record in classes.items():
        table = Table(
            "work", Column("engine", no_wrap=True), "runs", "usual", "runs differ by", "from now on", "file (bytes)",
            "smallest cosine", title=f"{name} ({', '.join(record.processors)})", title_justify="left",
        )  # fmt: skip
        for row in record.rows:
            table.add_row(
                str(row.work),
                row.name,
                str(len(row.speeds)),
                f"{median(row.speeds):.2f} ×",
                f"{spread_of(row.speeds):.0%}",
                f"≥ {least_speed(row.speeds, len(record.rows)):.2f} ×",
                f"{row.file_bytes:,}",
                _NONE if row.min_cosine is None else f"{row.min_cosine:.6f}",
            )
        found.append(table)
    return found


def _cells(judgement: Judgement) -> list[tuple[str, list[str], dict[str, dict[str, Check]]]]:
    """Of each work its title, what its rows are held to, and the checks of each row by that."""
    works: dict[tuple[object, str], list[Check]] = {}
    for check in judgement.checks:
        work, images, _name = check.key
        works.setdefault((work, images), []).append(check)
    found = []
    for checks in works.values():
        work, images, _name = checks[0].key
        rows: dict[str, dict[str, Check]] = {}
        for check in checks:
            rows.setdefault(check.key[2], {})[check.what] = check
        title = f"{work}, {work.weights} weights; answers on {images}"
        found.append((title, list(dict.fromkeys(check.what for check in checks)), rows))
    return found


def _cell(check: Check | None) -> str:
    return _NONE if check is None else f"{check.measured} ({check.allowed})"


def _verdict(checks: Iterable[Check]) -> str:
    found = {check.holds for check in checks}
    return "broken" if False in found else "not judged" if None in found else _HOLDS


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
