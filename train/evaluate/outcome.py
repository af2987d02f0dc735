"""How an evaluation is written down: a JSON file for machines, the same as a table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import OutputError

_PACKAGES = ("radiodino", "torch", "timm")


def write_outcome(
    folder: Path, task: str, *, settings: dict[str, Any], data: dict[str, Any], results: dict[str, Any], table: str
) -> Path:
    """Write `folder`/`task`.json and `folder`/`task`.md; `radiodino-train report` reads the former.

    Args:
        folder: made where it is not there yet.
        task: ``knn``, ``finetune``, ``segment``, ``probe`` or ``explain``.
        settings: what was asked for, every number of it.
        data: inputs, counts, the origin of the split, and unreadable images with the reason of each.
        results: numbers; fractions in 0..1.
        table: see `markdown_table`.

    Returns:
        The path of the JSON file.

    Raises:
        OutputError: where it cannot be written.
    """
    document = {
        "task": task,
        "settings": settings,
        "data": data,
        "results": results,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }
    path = folder / f"{task}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / f"{task}.md", overwrite=True) as temporary:
            temporary.write_text(table + "\n", encoding="utf-8")
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the results to {folder}: {error.strerror or error}") from error
    return path


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table that reads well as plain text too: columns padded, numbers as given."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
