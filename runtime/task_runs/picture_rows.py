"""What the runs that write pictures have in common: folders of files beside a table, all named alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..atomic import atomic_path
from ..embed.entry import Entry
from ..embed.input_frames import ReadyFrame
from ..embed.row_maker import RowMaker
from ..folder import make_folder
from ..frame import Frame
from ..inputs.item import Item
from ..inputs.listing import Listing
from ..model_info import LoadedInfo
from .output_names import OutputNames
from .result_folders import clear_results, refuse_inputs_within

Array = NDArray[np.float32]


class PictureRows(RowMaker):
    """Writes files for each frame before its row is recorded.

    Args:
        info: of the model.
        folder: of the whole run; the files lie in folders inside it.
        table: name of the run's table, inside the same folder.
        fixed: floats of a row before the probabilities, which it has where the file classifies.
        kinds: for each folder of files the suffix of those in it.
    """

    def __init__(self, info: LoadedInfo, folder: Path, *, table: str, fixed: int, kinds: Mapping[str, str]) -> None:
        self._info = info
        self._folder = folder
        self._table = table
        self._fixed = fixed
        self._kinds = kinds
        self._names = OutputNames([])

    @property
    def needs_frames(self) -> bool:
        """They are drawn on."""
        return True

    @property
    def table(self) -> Path:
        """The table of the run."""
        return self._folder / self._table

    @property
    def size(self) -> int:
        """The fixed numbers, and a probability for each class where the file classifies."""
        return self._fixed + (len(self._info.classifier.classes) if self._info.classifier else 0)

    def folders(self) -> list[Path]:
        """Of the files."""
        return [self._folder / kind for kind in self._kinds]

    def begin(self, listing: Listing) -> None:
        """Name the files."""
        refuse_inputs_within(self.folders(), listing)
        self._names = OutputNames(listing)
        for folder in self.folders():
            make_folder(folder)

    def start_afresh(self) -> None:
        """Remove the table and the files of an earlier run, which may be replaced."""
        self.table.unlink(missing_ok=True)
        for folder in self.folders():
            clear_results(folder)

    def dropped(self, item: Item, frames: tuple[int | None, ...]) -> None:
        """Remove the files of an input that turned out to be unreadable."""
        for frame in frames:
            for kind in self._kinds:
                self.path(kind, item, frame).unlink(missing_ok=True)

    def is_whole(self, item: Item, entry: Entry) -> bool:
        """Whether all files of an input are there."""
        return all(self.path(kind, item, frame).is_file() for frame in entry.frames for kind in self._kinds)

    def path(self, kind: str, item: Item, frame: int | None) -> Path:
        """Where the file of one kind for one frame lies."""
        return self._folder / kind / f"{self._names.of(item, frame)}{self._kinds[kind]}"

    def relative(self, kind: str, item: Item, frame: int | None) -> str:
        """The same below the folder of the run, with ``/`` on every system."""
        return self.path(kind, item, frame).relative_to(self._folder).as_posix()

    def write(self, kind: str, item: Item, frame: int | None, save: Callable[[Path], None]) -> None:
        """Write one file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        with atomic_path(self.path(kind, item, frame), overwrite=True) as temporary:
            save(temporary)

    def numbers(self, fixed: Sequence[float], outputs: Mapping[str, Array]) -> Array:
        """A row of `size` numbers, float32."""
        return np.array([*fixed, *(outputs["probabilities"] if self._info.classifier else [])], np.float32)


def decoded(frame: ReadyFrame) -> Frame:
    """A frame as it was decoded, which is what its picture is drawn on."""
    if frame.decoded is None:
        raise ValueError("a picture is drawn on the frame as it was decoded")
    return frame.decoded


def save_picture(picture: Image.Image, path: Path) -> None:
    """Save a picture as PNG: a tenth larger than it could be, in a third of the time."""
    picture.save(path, "PNG", compress_level=3)


def remark(notice: str | None) -> str | None:
    """What a picture says of how its image was read."""
    return None if notice is None else f"of this image: {notice}"
