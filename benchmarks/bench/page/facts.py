"""What must be known of the numbers: notes, who is left out, the machine and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from radiodino.train.report.blocks import Block, Facts, Row, Table

from ..tables import work_notes
from .networks import Network, Place


def notes(own: Sequence[Network]) -> tuple[Block, ...]:
    """Each sentence once, with the measurements that it is about."""
    found = [one for network in own for one in network.found]
    said: dict[tuple[str], list[str]] = {}
    left_out: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for sentence in work_notes(replace(one.note, left_out={}), one.rows):
            said.setdefault((sentence,), []).append(str(one.work))
        for pair in one.note.left_out.items():
            left_out.setdefault(pair, []).append(str(one.work))
    tables = (("Notes", ("what must be known",), said), ("Left out", ("engine", "why"), left_out))
    return tuple(
        Table(
            caption,
            (*columns, "of"),
            tuple(
                Row((*told, "all" if len(works) == len(found) else "; ".join(works)), "original")
                for told, works in lines.items()
            ),
            texts=len(columns) + 1,
        )
        for caption, columns, lines in tables
        if lines
    )


def machine(place: Place) -> tuple[Block, ...]:
    """Where, with what, when and how much was measured."""
    found, first = place.machine, place.reports[0]
    facts = {
        "processor": found.processor,
        "architecture, system": f"{found.architecture}, {found.system}",
        "cores": str(found.usable_cores),
        "memory": None if found.memory_gib is None else f"{found.memory_gib:.1f} GiB",
        "instruction sets": ", ".join(found.instruction_sets) or "they could not be read",
        "engines limited to": first.isa,
        "versions": ", ".join(f"{name} {version}" for name, version in first.versions.items()),
    }
    lines = tuple(
        Row(
            (
                str(note.work), note.work.weights, report.date, str(report.rounds), f"{100 * note.others:.0f} %",
                f"{100 * note.stolen:.0f} %",
            ),
            "original",
        )
        for report in place.reports
        for note in report.works
    )  # fmt: skip
    columns = ("measured", "weights", "run begun (UTC)", "rounds", "used by others", "withheld by the host")
    return (
        Facts(tuple((name, value) for name, value in facts.items() if value)),
        Table("Measurements, with the shares of processor time that others had", columns, lines, texts=3),
    )
