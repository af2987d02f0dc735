"""A row of a run that explains: what its table says; the pictures, and the maps where they are wanted, are files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..embed.input_frames import ReadyFrame
from ..errors import InputError
from ..inputs.item import Item
from ..model_info import LoadedInfo
from ..pictures.explanation_picture import explanation_picture
from ..tasks.classification import classification
from ..tasks.explanation import explanation
from ..tasks.heads import explanation_kind, target_class
from .picture_rows import Array, PictureRows, remark, save_picture

OVERLAYS, MAPS = "overlays", "maps"
TABLE = "explain.csv"
MAP_KINDS = {"png": ".png", "npy": ".npy"}
FIXED = 3
"""Floats of a row before the probabilities: the index of the class that the map speaks for (NaN of attention), height
and width."""


class ExplanationRows(PictureRows):
    """Writes ``overlays/NAME.png``, and ``maps/NAME.png`` (16 bits, 65535 for 1) or ``maps/NAME.npy`` (float32).

    Args:
        info: of the model.
        folder: of the run.
        kind: of the map; None takes ``cam`` where the file gives it.
        label: the class that a ``cam`` speaks for; None takes the one that is said of each image.
        maps: ``png``, ``npy``, or None for no maps.

    Raises:
        InputError: there is no such kind, class or format.
        ModelFileError: the file does not give such a map.
    """

    def __init__(
        self, info: LoadedInfo, folder: Path, *, kind: str | None, label: str | None, maps: str | None
    ) -> None:
        if maps is not None and maps not in MAP_KINDS:
            raise InputError(f"maps cannot be written as '{maps}': choose {' or '.join(MAP_KINDS)}")
        super().__init__(folder, {OVERLAYS: ".png"} | ({MAPS: MAP_KINDS[maps]} if maps else {}))
        self._info = info
        self._label = label
        self._maps = maps
        self.kind = explanation_kind(info, kind)
        self._target = target_class(info, self.kind, label)

    @property
    def table(self) -> Path:
        """``explain.csv``."""
        return self._folder / TABLE

    @property
    def size(self) -> int:
        """`FIXED`, and a probability for each class where the file classifies."""
        return FIXED + (len(self._info.classifier.classes) if self._info.classifier else 0)

    @property
    def options(self) -> Mapping[str, Any]:
        """What is made."""
        return {"result": "explain", "kind": self.kind, "class": self._label, "maps": self._maps}

    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, Array]) -> Array:
        """Write picture and map of one frame."""
        decoded = frame.decoded
        if decoded is None:
            raise ValueError("a map is drawn on the frame as it was decoded")
        width, height = decoded.image.size
        head, notice = self._info.classifier, self._info.notice
        found = explanation(
            outputs,
            self.kind,
            target=self._target,
            size=(height, width),
            classified=None if head is None else classification(outputs, head, notice),
            notice=notice,
        )
        picture = explanation_picture(decoded.image, found, spacing=decoded.spacing, remark=remark(frame.notice))
        self.write(OVERLAYS, item, frame.number, partial(save_picture, picture))
        if self._maps:
            self.write(MAPS, item, frame.number, partial(_SAVE[self._maps], found.heat))
        index = np.nan if head is None or found.label is None else head.classes.index(found.label)
        return np.array([index, height, width, *(outputs["probabilities"] if head else [])], np.float32)


def _save_png(heat: Array, path: Path) -> None:
    Image.fromarray(np.rint(heat * 65535).astype(np.uint16)).save(path, format="PNG")


def _save_npy(heat: Array, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, heat)


_SAVE = {"png": _save_png, "npy": _save_npy}
