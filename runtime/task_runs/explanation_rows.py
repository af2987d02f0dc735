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
from ..tasks.classification import classification_beside
from ..tasks.explanation import explanation
from ..tasks.heads import explanation_kind, target_class
from .picture_rows import Array, PictureRows, decoded, remark, save_picture

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
        kinds = {OVERLAYS: ".png"} | ({MAPS: MAP_KINDS[maps]} if maps else {})
        super().__init__(info, folder, table=TABLE, fixed=FIXED, kinds=kinds)
        self._label = label
        self._maps = maps
        self.kind = explanation_kind(info, kind)
        self._target = target_class(info, self.kind, label)

    @property
    def options(self) -> Mapping[str, Any]:
        """What is made."""
        return {"result": "explain", "kind": self.kind, "class": self._label, "maps": self._maps}

    def row(self, item: Item, frame: ReadyFrame, outputs: Mapping[str, Array]) -> Array:
        """Write picture and map of one frame."""
        shown, head = decoded(frame), self._info.classifier
        width, height = shown.image.size
        found = explanation(
            outputs,
            self.kind,
            target=self._target,
            size=(height, width),
            classified=classification_beside(outputs, self._info),
            notice=self._info.notice,
        )
        picture = explanation_picture(shown.image, found, spacing=shown.spacing, remark=remark(frame.notice))
        self.write(OVERLAYS, item, frame.number, partial(save_picture, picture))
        if self._maps:
            self.write(MAPS, item, frame.number, partial(_SAVE[self._maps], found.heat))
        index = np.nan if head is None or found.label is None else head.classes.index(found.label)
        return self.numbers([index, height, width], outputs)


def _save_png(heat: Array, path: Path) -> None:
    Image.fromarray(np.rint(heat * 65535).astype(np.uint16)).save(path, format="PNG")


def _save_npy(heat: Array, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, heat)


_SAVE = {"png": _save_png, "npy": _save_npy}
