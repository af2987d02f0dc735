"""All that a run found, as a document for machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.machine import Machine

from .documents import read_document
from .row import Row, WorkNote

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of ``radiodino-bench``."""

    schema: int = SCHEMA
    machine: Machine
    isa: str | None
    """To which all engines were limited that can be, of `radiodino.benchmarks.bench.isa.LIMITS`."""
    date: str
    """UTC, ISO 8601."""
    versions: dict[str, str]
    """Of what computes."""
    rounds: int
    works: tuple[WorkNote, ...]
    rows: tuple[Row, ...]
    """Those of one work one after the other, the original of each device first."""


def write_report(report: Report, path: Path) -> None:
    """Write `report` as JSON; a file that is there is replaced.

    Raises:
        OutputError: where it cannot be written.
    """
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(asdict(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_report(path: Path) -> Report:
    """What `write_report` wrote.

    Raises:
        InputError: there is no such file, or it is none, or of another version.
    """
    cure = "give a file that  radiodino-bench --output FILE  wrote"
    return read_document(
        Report, path, schema=SCHEMA, missing="file", noun="report", cure=cure, complete=_with_cpu_seconds
    )


def _with_cpu_seconds(document: dict[str, Any]) -> dict[str, Any]:
    """Rows of earlier versions lack them."""
    rows = document.get("rows")
    if not isinstance(rows, list):
        return document
    return {**document, "rows": [{"cpu_seconds": [], **row} if isinstance(row, dict) else row for row in rows]}
