"""A row of a run that classifies: logits, then probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embed.entry import Entry
from ..embed.input_frames import ReadyFrame
from ..embed.row_maker import RowMaker
from ..extras import require
from ..folder import make_folder
from ..inputs.item import Item
from ..inputs.listing import Listing
from ..model_info import LoadedInfo
from ..source import ByteSource
from ..tasks.classification import Classification, classification
from ..tasks.heads import classifier_of
from .beside import derive, was_derived
from .output_names import OutputNames
from .result_folders import clear_results, refuse_inputs_within

_PRODUCT = "DICOM report"
Array = NDArray[np.float32]


class ClassificationRows(RowMaker):
    """Rows of 2 C floats, and on request a DICOM report of each DICOM file.

    Args:
        info: of the model.
        reports: the folder for the reports, ``NAME.dcm`` each; None for none.

    Raises:
        ModelFileError: the file has no classification head.
        MissingExtraError: reports are wanted and highdicom is not installed.
    """

    def __init__(self, info: LoadedInfo, reports: Path | None = None) -> None:
        self._info = info
        self._head = classifier_of(info)
        self._reports = reports
        self._pending: dict[str, dict[int | None, Classification]] = {}
        """By input and frame, until its report is written."""
        self._names = OutputNames([])
        if reports is not None:
            require("dicom", "highdicom")

    @property
    def size(self) -> int:
        """2 C."""
        return 2 * len(self._head.classes)

    @property
    def options(self) -> Mapping[str, Any]:
        """What is made."""
        return {"result": "classify", "reports": self._reports is not None}

    def begin(self, listing: Listing) -> None:
        """Name the reports."""
        if self._reports is not None:
            refuse_inputs_within([self._reports], listing)
            self._names = OutputNames(listing)
            make_folder(self._reports)

    def start_afresh(self) -> None:
        """Remove the reports of an earlier run."""
        if self._reports is not None:
            clear_results(self._reports)

    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, Array]) -> Array:
        """Logits and probabilities of one frame."""
        if self._reports is not None:
            self._pending.setdefault(item.name, {})[frame.number] = classification(
                outputs, self._head, self._info.notice
            )
        return np.concatenate([outputs["logits"], outputs["probabilities"]])

    def finished(self, item: Item, entry: Entry, rows: Array) -> str | None:  # noqa: ARG002
        """Write the report of an input."""
        if self._reports is None:
            return None
        write = partial(self._write, self._path(self._reports, item), self._pending.pop(item.name))
        return derive(item, _PRODUCT, write)

    def dropped(self, item: Item, frames: tuple[int | None, ...]) -> None:  # noqa: ARG002
        """Forget what was found of an input."""
        self._pending.pop(item.name, None)

    def is_whole(self, item: Item, entry: Entry) -> bool:
        """Whether the report that was written is there."""
        return self._reports is None or was_derived(entry, _PRODUCT, self._path(self._reports, item))

    def _path(self, reports: Path, item: Item) -> Path:
        return reports / f"{self._names.of(item, None)}.dcm"

    def _write(self, path: Path, results: Mapping[int | None, Classification], source: ByteSource) -> None:
        from ..dicom.report import write_report

        write_report(source, results, path, info=self._info, force=True)
