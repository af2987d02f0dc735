"""Probes at several image sizes as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluate.outcome import markdown_table

_METRICS = ("accuracy", "precision", "recall", "f1")
_COLUMNS = ("model", "size", "C", "accuracy (%)", "precision (%)", "recall (%)", "F1 (%)")


def probe_table(rows: Sequence[Mapping[str, Any]], means: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table in percent: the sizes of each model, then their mean.

    Args:
        rows: as `radiodino.train.probe.run.run_probe` gives them.
        means: likewise.
    """
    cells: list[list[str]] = []
    for place, mean in enumerate(means):
        count = len(mean["sizes"])
        for row in rows[place * count : (place + 1) * count]:
            c = f"{row['c']:g}{'' if row['converged'] else ' (not converged)'}"
            cells.append([row["model"], f"{row['image_size']} px", c, *_percent(row)])
        cells.append([mean["model"], "mean", "", *_percent(mean)])
    return markdown_table(_COLUMNS, cells)


def _percent(row: Mapping[str, Any]) -> list[str]:
    return [f"{100 * row[metric]:.2f}" for metric in _METRICS]
