"""What of some reports belongs together on a page: one machine's reports, and the works of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radiodino.export.settings import DEFAULT_IMAGE_SIZE
from radiodino.runtime.errors import InputError
from radiodino.runtime.machine import Machine

from ..report import Report
from ..row import Row, WorkNote
from ..tables import rows_of
from ..work import Work


@dataclass(frozen=True)
class Place:
    """Reports of the same machine with the same versions, so that their numbers may be compared."""

    reports: tuple[Report, ...]

    @property
    def machine(self) -> Machine:
        """That of all."""
        return self.reports[0].machine


@dataclass(frozen=True)
class Measurement:
    """One work and its rows."""

    note: WorkNote
    rows: tuple[Row, ...]

    @property
    def work(self) -> Work:
        """What is measured."""
        return self.note.work

    def on(self, device: str) -> list[Row]:
        """Its rows on one device, which are beside that device's original."""
        return [row for row in self.rows if row.device == device]

    @property
    def devices(self) -> list[str]:
        """Those of its rows."""
        return list(dict.fromkeys(row.device for row in self.rows))


@dataclass(frozen=True)
class Network:
    """One network with one number of threads: the same at several image sizes and batches."""

    title: str
    found: tuple[Measurement, ...]

    @property
    def main(self) -> Measurement:
        """Which is shown whole: at 224 px, else at the largest size, with the fewest images."""

        def order(one: Measurement) -> tuple[bool, int, int]:
            size = one.work.image_size
            return size != DEFAULT_IMAGE_SIZE, -size, one.work.batch_size

        return min(self.found, key=order)


def places(reports: Sequence[Report]) -> list[Place]:
    """`reports`, joined where they are of the same machine.

    Raises:
        InputError: the same work was measured twice on one machine.
    """
    found: dict[tuple[Machine, str | None, tuple[tuple[str, str], ...]], list[Report]] = {}
    for report in reports:
        found.setdefault((report.machine, report.isa, tuple(report.versions.items())), []).append(report)
    for own in found.values():
        works = [note.work for report in own for note in report.works]
        twice = next((work for work in works if works.count(work) > 1), None)
        if twice is not None:
            raise InputError(
                f"two of the reports measured the same on one machine, {twice}: give one of them, or compare them "
                "with  radiodino-bench compare"
            )
    return [Place(tuple(own)) for own in found.values()]


def networks(place: Place) -> list[Network]:
    """Those that were measured in `place`, in their order."""
    found = [Measurement(note, tuple(rows_of(report, note))) for report in place.reports for note in report.works]
    groups: dict[str, list[Measurement]] = {}
    for one in found:
        work = one.work
        groups.setdefault(f"{work.variant}, {work.task}, {_threads(work.threads)}", []).append(one)
    networks = []
    for title, own in groups.items():
        shapes = {(one.work.image_size, one.work.batch_size) for one in own}
        if len(shapes) == len(own):
            networks.append(Network(title, tuple(own)))
            continue
        for weights in dict.fromkeys(one.work.weights for one in own):
            chosen = tuple(one for one in own if one.work.weights == weights)
            networks.append(Network(f"{title}, {weights} weights", chosen))
    return networks


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"
