"""Tables that stay readable where the output is no terminal, as in a log or a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_LOG_WIDTH = 150


def print_table(table: Table) -> None:
    """Print `table` as wide as the terminal, or as wide as a log allows."""
    console = Console()
    (console if console.is_terminal else Console(width=_LOG_WIDTH)).print(table)
