"""Small pictures of indexed images, as JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from ..decode import decode
from ..embed.entry import Entry
from ..errors import InputError, UnreadableImageError
from ..frame import Frame, Window
from ..inputs.item import Item

LONGEST_SIDE = 192
"""In pixels, by default."""
MOST = 1024
_QUALITY = 85


@dataclass(frozen=True)
class ThumbnailMaker:
    """Decodes indexed inputs once more and shrinks them; thread-safe.

    Raises:
        InputError: the longest side is not 16 to `MOST` pixels.
    """

    longest_side: int
    """In pixels; the aspect ratio is kept, and smaller images keep their size."""
    window: Window | None
    """As in the run that embedded them."""
    frame: int | None
    """As in the run that embedded them."""

    def __post_init__(self) -> None:
        if not 16 <= self.longest_side <= MOST:
            raise InputError(
                f"thumbnails have a longest side of 16 to {MOST} pixels, not {self.longest_side}: choose one, or 0 "
                "for none"
            )

    def of(self, indexed: tuple[Item, Entry]) -> list[bytes]:
        """One for each row of an entry, none for an unreadable one.

        Raises:
            UnreadableImageError: the input has changed since it was embedded.
        """
        item, entry = indexed
        if not entry.frames:
            return []
        try:
            found = [(frame.number, self.shrunk(frame.image)) for frame in self._frames(item)]
        except UnreadableImageError as error:
            raise UnreadableImageError(f"{error.reason}; it was readable when it was embedded", item.name) from error
        if tuple(number for number, _ in found) != entry.frames:
            raise UnreadableImageError("its frames are others than when it was embedded", item.name)
        return [picture for _, picture in found]

    def shrunk(self, image: Image.Image) -> bytes:
        """JPEG of an 8-bit image, without metadata."""
        small = image.copy()
        small.thumbnail((self.longest_side, self.longest_side), Image.Resampling.LANCZOS)
        stream = BytesIO()
        small.save(stream, "JPEG", quality=_QUALITY)
        return stream.getvalue()

    def _frames(self, item: Item) -> Iterator[Frame]:
        return decode(item.load(), window=self.window, frame=self.frame)
