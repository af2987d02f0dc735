"""A row of a run that segments: what its table says of the mask; the mask and a picture of it are files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..embed.entry import Entry
from ..embed.input_frames import ReadyFrame
from ..extras import require
from ..inputs.item import Item
from ..model_info import LoadedInfo
from ..pictures.segmentation_picture import segmentation_picture
from ..source import ByteSource
from ..tasks.classification import classification_beside
from ..tasks.heads import segmenter_of
from ..tasks.segmentation import segmentation
from .beside import derive, was_derived
from .picture_rows import Array, PictureRows, decoded, remark, save_picture

MASKS, OVERLAYS, SEGMENTATIONS = "masks", "overlays", "dicom-seg"
TABLE = "segment.csv"
_PRODUCT = "DICOM segmentation"
FIXED = 6
"""Floats of a row before the probabilities: share, area in mm², height, width, and the distance of rows and of columns
in mm; NaN where there is none."""


class SegmentationRows(PictureRows):
    """Writes ``masks/NAME.png`` (0 and 255, of the image's own size) and ``overlays/NAME.png``.

    Args:
        info: of the model.
        folder: of the run.
        dicom_seg: whether to write ``dicom-seg/NAME.dcm`` for each DICOM file too, of all its frames that were read.

    Raises:
        ModelFileError: the file has no segmentation head.
        MissingExtraError: DICOM segmentations are wanted and highdicom is not installed.
    """

    def __init__(self, info: LoadedInfo, folder: Path, *, dicom_seg: bool = False) -> None:
        super().__init__(info, folder, table=TABLE, fixed=FIXED, kinds={MASKS: ".png", OVERLAYS: ".png"})
        self._head = segmenter_of(info)
        self._dicom_seg = dicom_seg
        if dicom_seg:
            require("dicom", "highdicom")

    @property
    def options(self) -> Mapping[str, Any]:
        """What is made."""
        return {"result": "segment", "dicom_seg": self._dicom_seg}

    def folders(self) -> list[Path]:
        """Of masks, pictures and DICOM segmentations."""
        return [*super().folders(), *([self._folder / SEGMENTATIONS] if self._dicom_seg else [])]

    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, Array]) -> Array:
        """Write mask and picture of one frame."""
        shown = decoded(frame)
        width, height = shown.image.size
        found = segmentation(
            outputs,
            self._head,
            size=(height, width),
            spacing=shown.spacing,
            spacing_notice=shown.spacing_notice,
            classified=classification_beside(outputs, self._info),
            notice=self._info.notice,
        )
        mask = Image.fromarray(found.mask.astype(np.uint8) * np.uint8(255))
        picture = segmentation_picture(shown.image, found, remark(frame.notice))
        self.write(MASKS, item, frame.number, partial(mask.save, format="PNG"))
        self.write(OVERLAYS, item, frame.number, partial(save_picture, picture))
        area = np.nan if found.area_mm2 is None else found.area_mm2
        return self.numbers([found.share, area, height, width, *(found.spacing or (np.nan, np.nan))], outputs)

    def finished(self, item: Item, entry: Entry, rows: Array) -> str | None:  # noqa: ARG002
        """Write the DICOM segmentation of an input."""
        return derive(item, _PRODUCT, partial(self._write_segmentation, item, entry)) if self._dicom_seg else None

    def is_whole(self, item: Item, entry: Entry) -> bool:
        """Whether mask, picture and DICOM segmentation are there."""
        if self._dicom_seg and not was_derived(entry, _PRODUCT, self.segmentation_path(item)):
            return False
        return super().is_whole(item, entry)

    def segmentation_path(self, item: Item) -> Path:
        """Where the DICOM segmentation of an input lies."""
        return self._folder / SEGMENTATIONS / f"{self._names.of(item, None)}.dcm"

    def _write_segmentation(self, item: Item, entry: Entry, source: ByteSource) -> None:
        from ..dicom.segmentation import write_segmentation

        masks = {}
        for frame in entry.frames:
            with Image.open(self.path(MASKS, item, frame)) as mask:
                masks[frame] = np.asarray(mask) > 0
        write_segmentation(source, masks, self.segmentation_path(item), info=self._info, force=True)
