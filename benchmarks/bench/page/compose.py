"""The page of some reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from radiodino.runtime.atomic import atomic_path
from radiodino.train.report.blocks import DISCLAIMER, Block, Kind, Notice, Page, Row, Section, Table, Text
from radiodino.train.report.html_page import as_html

from ..report import Report
from ..row import Row as Measured
from ..tables import SPEED, Cell, columns, shown, work_heading
from ..weights_words import notice_in
from .facts import machine, notes
from .glance import glance
from .method import METHOD
from .networks import Network, Place, networks, places
from .plots import drawings

TITLE = "radiodino-bench: what exports cost and gain"


def write_page(reports: Sequence[Report], path: Path) -> None:
    """Write the page of `reports` as one HTML file that needs nothing else; a file that is there is replaced.

    Raises:
        InputError: see `compose`.
        OutputError: where it cannot be written.
    """
    text = as_html(compose(reports))
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def compose(reports: Sequence[Report]) -> Page:
    """The page of `reports`, those of one machine joined.

    Args:
        reports: at least one.

    Raises:
        InputError: the same was measured twice on one machine.
    """
    found = [(place, networks(place)) for place in places(reports)]
    sections: list[Section] = []
    for number, (place, own) in enumerate(found, 1):
        where = f", machine {number}" if len(found) > 1 else ""
        parts: list[tuple[str, tuple[Block, ...]]] = [
            ("At a glance", (glance(own),)),
            *((network.title, _plots(network)) for network in own),
            *((f"All numbers: {network.title}", _tables(network)) for network in own),
            ("Notes, and who is left out", notes(own)),
            ("Machine and settings", machine(place)),
        ]
        sections += [
            Section(f"part-{number}-{index}", f"{title}{where}", blocks) for index, (title, blocks) in enumerate(parts)
        ]
    return Page(TITLE, _lead(found), (*sections, Section("method", "How it was measured", tuple(map(Text, METHOD)))))


def _lead(found: Sequence[tuple[Place, Sequence[Network]]]) -> tuple[Block, ...]:
    measured = [one for _, own in found for network in own for one in network.found]
    blocks: list[Block] = [Notice(DISCLAIMER)]
    for weights in dict.fromkeys(one.work.weights for one in measured):
        said = notice_in(weights)
        if said is not None:
            variants = dict.fromkeys(one.work.variant for one in measured if one.work.weights == weights)
            blocks.append(Notice(f"{', '.join(variants)}, {said}."))
    noisy = [one for one in measured if one.note.noise]
    if noisy:
        count = f"{len(noisy)} of {len(measured)} measurements" if len(measured) > 1 else "the measurement"
        blocks.append(Notice(f"The machine was not left alone during {count}: the notes say how far off numbers are."))
    machines = (
        f"{place.machine.processor}, {place.machine.usable_cores} cores, {place.reports[0].date[:10]}"
        for place, _ in found
    )
    blocks.append(Text(f"Exported networks beside their PyTorch original in the same run, on {'; '.join(machines)}."))
    return tuple(blocks)


def _plots(network: Network) -> tuple[Block, ...]:
    main = network.main
    noise = main.note.noise
    noisy = [Notice(f"{noise[0].upper()}{noise[1:]}.")] if noise else []
    return (*noisy, Text(f"{work_heading(main.note, main.rows)}."), *drawings(network))


def _tables(network: Network) -> tuple[Block, ...]:
    return tuple(
        _table(f"{one.work}; {one.work.weights} weights", cells, shown(cells, one.rows))
        for one in network.found
        for cells in columns(one.rows)
    )


def _table(caption: str, cells: Mapping[str, Cell], rows: Sequence[Measured]) -> Table:
    lines = tuple(Row(tuple(cell(row) for cell in cells.values()), _kind(row)) for row in rows)
    return Table(caption, tuple(cells), lines, texts=2 if cells is SPEED else 1)


def _kind(row: Measured) -> Kind:
    return "peer" if row.is_peer else "original" if row.is_original else "ours"
