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
from ..tasks.classification import classification
from ..tasks.heads import segmenter_of
from ..tasks.segmentation import segmentation
from .beside import derive, was_derived
from .picture_rows import Array, PictureRows, remark, save_picture

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
        super().__init__(folder, {MASKS: ".png", OVERLAYS: ".png"})
        self._info = info
        self._head = segmenter_of(info)
        self._dicom_seg = dicom_seg
        if dicom_seg:
            require("dicom", "highdicom")

    @property
    def table(self) -> Path:
        """``segment.csv``."""
        return self._folder / TABLE

    @property
    def size(self) -> int:
        """`FIXED`, and a probability for each class where the file classifies."""
        return FIXED + (len(self._info.classifier.classes) if self._info.classifier else 0)

    @property
    def options(self) -> Mapping[str, Any]:
        """What is made."""
        return {"result": "segment", "dicom_seg": self._dicom_seg}

    def folders(self) -> list[Path]:
        """Of masks, pictures and DICOM segmentations."""
        return [*super().folders(), *([self._folder / SEGMENTATIONS] if self._dicom_seg else [])]

    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, Array]) -> Array:
        """Write mask and picture of one frame."""
        decoded = frame.decoded
        if decoded is None:
            raise ValueError("a mask is drawn on the frame as it was decoded")
        width, height = decoded.image.size
        head, notice = self._info.classifier, self._info.notice
        found = segmentation(
            outputs,
            self._head,
            size=(height, width),
            spacing=decoded.spacing,
            spacing_notice=decoded.spacing_notice,
            classified=None if head is None else classification(outputs, head, notice),
            notice=notice,
        )
        mask = Image.fromarray(found.mask.astype(np.uint8) * np.uint8(255))
        picture = segmentation_picture(decoded.image, found, remark(frame.notice))
        self.write(MASKS, item, frame.number, partial(mask.save, format="PNG"))
        self.write(OVERLAYS, item, frame.number, partial(save_picture, picture))
        area = np.nan if found.area_mm2 is None else found.area_mm2
        row = [found.share, area, height, width, *(found.spacing or (np.nan, np.nan))]
        return np.array([*row, *(outputs["probabilities"] if head else [])], np.float32)

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
