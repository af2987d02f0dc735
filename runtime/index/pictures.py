"""Pictures of indexed cases: the stored thumbnail, or the original where it is still what was indexed."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from ..decode import decode
from ..errors import UnreadableImageError
from .case_index import CaseIndex
from .stamp import ABSENT, stamp


def picture(index: CaseIndex, row: int) -> Image.Image | str:
    """The picture of row `row`, 8-bit, mode L or RGB; or why there is none, as a phrase.

    The thumbnail comes first: it is what was indexed, wherever the index and the originals have gone since. An original
    is shown only where its size and time of change are those when the index was written.

    Raises:
        IndexFileError: the thumbnail is damaged.
    """
    data = index.thumbnail(row)
    if data is not None:
        image = Image.open(BytesIO(data), formats=["JPEG"])
        image.load()
        return image
    kept = index.stamp(row)
    if kept is None or index.folder is None or kept == ABSENT:
        return "no picture in the index"
    case = index.case(row)
    path = Path(index.folder) / (case.name.removesuffix(f"#{case.frame}") if case.frame else case.name)
    found = stamp(path)
    if found == ABSENT:
        return "the original is gone"
    if found != kept:
        return "the original has changed"
    try:
        return next(decode(path, window=index.window, frame=case.frame)).image
    except (UnreadableImageError, StopIteration):
        return "the original cannot be read"
