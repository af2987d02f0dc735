"""The rows of an evaluation as the paper's Table 3 shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluate.outcome import markdown_table

_METRICS = ("accuracy", "precision", "recall", "f1")
_COLUMNS = ("model", "k", "accuracy (%)", "precision (%)", "recall (%)", "F1 (%)", "gallery", "queries")


def knn_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, by k and then by model, in percent.

    Args:
        rows: as `radiodino.train.knn.run.run_knn` gives them.
    """
    ordered = sorted(rows, key=lambda row: int(row["k"]))  # stable: models stay in their order
    cells = [
        [row["model"], row["k"], *(f"{100 * row[metric]:.2f}" for metric in _METRICS), row["gallery"], row["queries"]]
        for row in ordered
    ]
    return markdown_table(_COLUMNS, cells)
