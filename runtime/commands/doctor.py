"""``radiodino-run doctor``: what this machine has."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show machine, instruction sets and backends, and what auto would take and why."""
    from ..doctor import describe, examine

    found = examine()
    typer.echo(json.dumps(found, indent=2) if as_json else describe(found))
