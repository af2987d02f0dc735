"""The table beside the pictures of a run, with the names of their files: ``segment.csv`` or ``explain.csv``.

Both begin with ``filename``, ``label`` (the input's folder) and ``frame`` as the table of a run that classifies does,
and where the file classifies they end in ``class`` and ``probability_NAME`` for each. An area is empty where the image
states no distance of its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..embed.results import Results
from ..embed.table_csv import write_texts
from ..embed.tables import info_path, refuse_output, write_info, write_with_texts
from ..inputs.item import Item
from ..inputs.listing import Listing
from ..model_info import ClassifierInfo, SegmenterInfo
from ..tasks.classification import decide
from . import explanation_rows, segmentation_rows
from .explanation_rows import ExplanationRows
from .picture_rows import Array, PictureRows
from .result_folders import refuse_filled
from .segmentation_rows import SegmentationRows

_Cells = Callable[[Item, "int | None", Array], tuple[str, ...]]


@dataclass(frozen=True)
class PictureTable:
    """Writes the table of a run with pictures; see `radiodino.runtime.embed.writer.Writer`."""

    maker: PictureRows
    columns: tuple[str, ...]
    """Between ``frame`` and ``class``."""
    cells: _Cells
    """What stands in them for one row, given its input, frame and floats."""
    fixed: int
    """Floats of a row before the probabilities."""
    classifier: ClassifierInfo | None

    def refuse(self, output: Path, *, force: bool, resume: bool) -> None:
        """See `Writer`."""
        refuse_output(output, force=force, resume=resume, suffixes=(".csv",))
        for folder in self.maker.folders():
            refuse_filled(folder, output, info_path(output), force=force, resume=resume)

    def write(self, output: Path, results: Results, listing: Listing, *, force: bool) -> list[Path]:
        """See `Writer`."""
        classes = self.classifier.classes if self.classifier else ()
        named = ("class", *(f"probability_{name}" for name in classes)) if classes else ()
        header = ("filename", "label", "frame", *self.columns, *named)
        also = {info_path(output): partial(write_info, results=results)}
        files = write_with_texts(
            output,
            results,
            lambda path: write_texts(path, header, self._rows(results, listing)),
            force=force,
            also=also,
        )
        return [*files, *self.maker.folders()]

    def _rows(self, results: Results, listing: Listing) -> Iterator[tuple[str, ...]]:
        entries = zip(listing, results.entries(), strict=True)
        inputs = ((item, frame) for item, entry in entries for item, frame in zip(repeat(item), entry.frames))
        for names, labels, rows in results.chunks():
            for name, label, row in zip(names, labels, rows, strict=True):
                item, frame = next(inputs)
                place = (name, label, "" if frame is None else str(frame))
                yield (*place, *self.cells(item, frame, row), *self._class_cells(row[self.fixed :]))

    def _class_cells(self, probabilities: Array) -> tuple[str, ...]:
        if self.classifier is None:
            return ()
        said = self.classifier.classes[decide(probabilities, self.classifier)[0]]
        return (said, *map(str, probabilities))


def segmentation_table(maker: SegmentationRows, head: SegmenterInfo, classifier: ClassifierInfo | None) -> PictureTable:
    """The table of a run that segments."""

    def cells(item: Item, frame: int | None, row: NDArray[np.float32]) -> tuple[str, ...]:
        share, area, height, width, *spacing = row[: segmentation_rows.FIXED]
        return (
            head.label,
            str(share),
            *(_text(value) for value in (area, *spacing)),
            f"{head.threshold:g}",
            *(str(int(side)) for side in (width, height)),
            maker.relative(segmentation_rows.MASKS, item, frame),
            maker.relative(segmentation_rows.OVERLAYS, item, frame),
        )

    columns = (
        *("marks", "share", "area_mm2", "row_spacing_mm", "column_spacing_mm", "threshold", "width", "height"),
        *("mask", "overlay"),
    )
    return PictureTable(maker, columns, cells, segmentation_rows.FIXED, classifier)


def explanation_table(maker: ExplanationRows, classifier: ClassifierInfo | None) -> PictureTable:
    """The table of a run that explains."""
    files = tuple(folder.name for folder in maker.folders())

    def cells(item: Item, frame: int | None, row: NDArray[np.float32]) -> tuple[str, ...]:
        index, height, width = row[: explanation_rows.FIXED]
        spoken = "" if classifier is None or np.isnan(index) else classifier.classes[int(index)]
        size = (str(int(width)), str(int(height)))
        return (maker.kind, spoken, *size, *(maker.relative(kind, item, frame) for kind in files))

    names = {explanation_rows.OVERLAYS: "overlay", explanation_rows.MAPS: "map"}
    columns = ("kind", "map_class", "width", "height", *(names[kind] for kind in files))
    return PictureTable(maker, columns, cells, explanation_rows.FIXED, classifier)


def _text(value: np.float32) -> str:
    return "" if np.isnan(value) else str(value)
