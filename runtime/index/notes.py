"""What people must be told of an index, and of a run against one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..embed.summary import RunSummary
from .calibration import LEAST
from .case_index import CaseIndex
from .knn_writer import KnnWriter
from .unlikeness import ordinal

_FEW = 100


def with_index_notes(summary: RunSummary) -> RunSummary:
    """`summary` of a run that wrote an index, with what a user must know of it.

    Raises:
        IndexFileError: the index cannot be read back.
    """
    return replace(summary, notes=(*summary.notes, *index_notes(CaseIndex.open(summary.files[0]))))


def index_notes(index: CaseIndex) -> list[str]:
    """What a user must know of an index, a sentence each."""
    notes = [f"{len(index)} cases, {len(index.classes)} labels: {', '.join(name or 'none' for name in index.classes)}"]
    found = index.calibration
    if found is None:
        return [*notes, f"no image can be called unlike these: that takes an index of {LEAST} images or more"]
    drawn = "a sample of " if found.sampled else ""
    notes.append(
        f"images further off than {found.threshold:.4f} are called unlike these: the {ordinal(found.percentile)} "
        f"percentile of the distances of {drawn}{found.measured} of them from the others"
    )
    if found.measured < _FEW:
        notes.append(f"a percentile of {found.measured} images is rough: expect more or fewer warnings than it says")
    if found.copies:
        notes.append(
            f"{found.copies} of these {found.measured} have copies in other files of the index, which count as "
            "neighbours in a search"
        )
    return notes


def with_knn_notes(summary: RunSummary, writer: KnnWriter, index: CaseIndex) -> RunSummary:
    """`summary` of a run that wrote the classes of many images."""
    notes = [f"{writer.warned} of {writer.rows} images are blank or unlike the indexed ones: see the column warning"]
    if index.calibration is None:
        notes.append(f"no image can be called unlike the indexed ones: that takes an index of {LEAST} images or more")
    return replace(summary, notes=(*summary.notes, *notes))


def other_arithmetic(index: CaseIndex, provenance: Mapping[str, Any]) -> str | None:
    """What differs between how the index and how the queries are computed, None where nothing does.

    Args:
        index: the index.
        provenance: of the model that embeds the queries.
    """
    pairs = [(index.provenance.get(key), provenance.get(key)) for key in ("compute", "backend")]
    if all(before == now for before, now in pairs):
        return None
    before, now = (" on ".join(str(each) for each in side) for side in zip(*pairs, strict=True))
    return f"the index was computed in {before}, this in {now}: similarities differ in their last digits"
