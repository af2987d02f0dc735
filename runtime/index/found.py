"""The answer to one search, for people and for files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..embed.table_csv import write_texts
from ..notice import marked
from .case_index import Case, CaseIndex
from .query import Query

_COLUMNS = ("rank", "cosine", "filename", "label", "notice", "warning", "note")


@dataclass(frozen=True)
class Neighbour:
    """One similar case."""

    row: int
    similarity: float
    """Cosine, −1 to 1."""
    case: Case


@dataclass(frozen=True)
class Found:
    """What was found for one image."""

    query: Query
    neighbours: tuple[Neighbour, ...]
    """The nearest first."""
    distance: float
    """See `radiodino.runtime.index.calibration`."""
    beyond: bool
    """Whether the image is unlike the indexed ones."""
    warning: str | None
    """What must be said of that."""
    index: CaseIndex
    notice: str | None
    """Of the model's weights."""

    def lines(self) -> list[str]:
        """For a reader: rank, cosine, label and name of each."""
        width = max([len(each.case.label) for each in self.neighbours] + [len("label")])
        lines = [f"{'rank':>4}  {'cosine':>7}  {'label':<{width}}  name"]
        for rank, each in enumerate(self.neighbours, 1):
            lines.append(f"{rank:>4}  {each.similarity:>7.4f}  {each.case.label:<{width}}  {each.case.name}")
        return lines

    def document(self, provenance: dict[str, Any]) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "query": self.query.name,
            "query_notice": self.query.frame.notice,
            "neighbours": [
                {
                    "rank": rank,
                    "cosine": each.similarity,
                    "filename": each.case.name,
                    "label": each.case.label,
                    "notice": each.case.notice,
                }
                for rank, each in enumerate(self.neighbours, 1)
            ],
            "distance": self.distance,
            "unlike": self.beyond if self.index.calibration else None,
            "blank": self.query.is_blank,
            "warning": self.warning,
            "note": marked(self.notice),
            **self.index.describe(),
            "provenance": provenance,
        }

    def write_json(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write `document` to `path`."""
        path.write_text(json.dumps(self.document(provenance), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def write_csv(self, path: Path) -> None:
        """One row for each neighbour; `radiodino.runtime.embed.table_csv` says how texts are written."""
        rows = [
            (str(rank), repr(each.similarity), each.case.name, each.case.label, each.case.notice or "",
             self.warning or "", marked(self.notice))
            for rank, each in enumerate(self.neighbours, 1)
        ]  # fmt: skip
        write_texts(path, _COLUMNS, rows)


def find(index: CaseIndex, query: Query, k: int, notice: str | None) -> Found:
    """The k most similar cases of one image.

    Raises:
        InputError: k is out of range.
    """
    most = max(k, min(index.neighbours_to_measure, len(index))) if k >= 1 else k  # which is refused
    nearest = index.search(query.embedding, most)
    unlike = index.measured(nearest)
    rows = zip(nearest.indices[0, :k].tolist(), nearest.similarities[0, :k].tolist(), strict=True)
    return Found(
        query,
        tuple(Neighbour(row, similarity, index.case(row)) for row, similarity in rows),
        float(unlike.distances[0]),
        bool(unlike.beyond[0]),
        unlike.sentence(0, is_blank=query.is_blank),
        index,
        notice,
    )
