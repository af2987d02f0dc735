"""``radiodino-export lint``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from radiodino.runtime.extras import require

if TYPE_CHECKING:  # imports onnx
    from .lint import Lint

_SHOWN = 4
out = Console(highlight=False)


def lint(
    file: Annotated[Path, typer.Argument(help="An ONNX file, of this package or another tool.")],
    target: Annotated[str, typer.Option(help="The engine that it is for: tensorrt, cuda (ONNX Runtime) or cpu.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON, every node named.")] = False,
) -> None:
    """Tell what in an ONNX file an engine would not fuse or not read, node by node; exit status 1 where there is any.

    Nothing is run. Checked are attention, LayerNorm and GELU in one piece, float64, casts, the places of
    QuantizeLinear and DequantizeLinear, fixed shapes, and operators and opset that the engine reads.
    """
    require("export", "onnx")
    from .lint import lint_file

    found = lint_file(file, target)
    if as_json:
        print(json.dumps(asdict(found) | {"clean": not found.findings}, indent=2))  # noqa: T201
    else:
        _print(found)
    if found.findings:
        raise typer.Exit(1)


def _print(found: Lint) -> None:
    table = Table("rule", "as it should be", "findings", title=f"{found.file} for {found.engine}")
    for rule in found.results:
        table.add_row(rule.rule, rule.whole, str(len(rule.findings) or ""))
    out.print(table)
    for finding in found.findings:
        nodes = ", ".join(finding.nodes[:_SHOWN])
        more = f" and {len(finding.nodes) - _SHOWN} more" if len(finding.nodes) > _SHOWN else ""
        where = f": {nodes}{more}" if nodes else ""
        out.print(f"{finding.rule}: {finding.reason}{where}", soft_wrap=True, markup=False)
    if not found.findings:
        out.print("clean")
