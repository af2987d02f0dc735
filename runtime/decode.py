"""Any image - a file, bytes, a stream, a PIL image, an array, DICOM - as 8-bit frames ready for preprocessing.

Decoding has no state of its own: any number of threads may decode at once, each its own source.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
from PIL import Image

from .dicom.known import is_dataset, is_dicom
from .errors import InputError, UnreadableImageError
from .frame import NOT_WINDOWED, Frame, Window, check_frame, check_window, frame_numbers
from .pixels import FAINT, array_images, is_faint, refuse_size, to_8bit
from .source import ByteSource, opened, source_name

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile
    from pydicom import Dataset

ImageSource: TypeAlias = "ByteSource | Image.Image | NDArray[Any] | Dataset"

_PLUGINS = {
    "PNG": "PngImagePlugin",
    "JPEG": "JpegImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "PPM": "PpmImagePlugin",
}
_COMMON = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}
"""How the usual files begin: of the other formats nothing is loaded for them."""

FORMATS = tuple(_PLUGINS)
"""What is decoded beside DICOM, by PIL's names."""

DICOM_SUFFIXES = (".dcm", ".dicom")

# What PIL raises on damaged data, found by flipping and cutting bytes of valid files.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def decode(source: ImageSource, *, window: Window | None = None, frame: int | None = None) -> Iterator[Frame]:
    """The frames of `source`, decoded one at a time as they are asked for.

    DICOM is known by ``DICM`` at byte 128, whatever the file is called; `radiodino.runtime.dicom` says how it becomes
    grey or RGB. Of other files every page (TIFF) or picture of an animation (GIF, PNG, WebP) is a frame; of a JPEG file
    only the main image is decoded, not the previews that some cameras append. `radiodino.runtime.pixels` says how their
    pixels become 8-bit.

    Args:
        source: a path; the bytes of a file; a binary stream, which is read from its start and left open; a PIL image
            (its current page); an array as `radiodino.runtime.pixels.array_images` takes it; or a pydicom Dataset.
        window: the grey window of DICOM images, in place of their own. So that a mixed folder can be read with one
            setting, an image that is not grey DICOM is decoded without it, and says so in its notice.
        frame: the one frame to decode, counted from 1; all where None.

    Yields:
        `Frame`. Where a later frame is damaged, those before it have been yielded by then.

    Raises:
        InputError: at once, where `frame` is no frame number or `window` no window; while iterating, where `source` is
            none of the above.
        UnreadableImageError: while iterating, where the image cannot be opened, is empty, damaged, truncated, of an
            unknown format, larger than `radiodino.runtime.pixels.MAX_PIXELS`, has no defined grey range, or has no such
            frame. It names the path, where there is one.
    """
    check_frame(frame)
    check_window(window)
    return _decode(source, window, frame)


def _decode(source: ImageSource, window: Window | None, frame: int | None) -> Iterator[Frame]:
    if is_dataset(source):
        yield from _dicom_frames(cast("Dataset", source), window, frame)
    elif isinstance(source, Image.Image | np.ndarray):
        yield from _from_memory(source, window, frame)
    elif isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read"):
        try:
            with opened(source) as stream:
                head = stream.read(132)
                if is_dicom(head) or _is_called_dicom(source):
                    yield from _dicom_frames(stream, window, frame)
                else:
                    yield from _from_file(stream, head, window, frame)
        except UnreadableImageError as error:
            raise UnreadableImageError(error.reason, source_name(source)) from None
    else:
        raise InputError(
            "expected a path, bytes, a binary stream, a PIL image, a numpy array or a pydicom Dataset, but found "
            f"{type(source).__name__}"
        )


def _dicom_frames(source: BinaryIO | Dataset, window: Window | None, frame: int | None) -> Iterator[Frame]:
    from .dicom.frames import dicom_frames  # a start without DICOM images needs none of it

    return dicom_frames(source, window=window, frame=frame)


def _is_called_dicom(source: object) -> bool:
    name = source_name(source)
    return name is not None and name.lower().endswith(DICOM_SUFFIXES)


def _from_memory(source: Image.Image | NDArray[Any], window: Window | None, frame: int | None) -> Iterator[Frame]:
    if isinstance(source, Image.Image):
        frame_numbers(1, frame)
        refuse_size(*source.size)
        with _decoding("its data are damaged or truncated"):
            source.load()
        yield _frame(source, None, window)
        return
    images = array_images(source)
    is_faint_array = source.dtype.itemsize == 2 and 0 < int(source.max()) < 4096
    for number in frame_numbers(len(images), frame):
        notices = ([FAINT] if is_faint_array else []) + ([NOT_WINDOWED] if window else [])
        yield Frame(images[number - 1], number if len(images) > 1 else None, "; ".join(notices) or None)


def _from_file(stream: BinaryIO, head: bytes, window: Window | None, frame: int | None) -> Iterator[Frame]:
    image_format = _format_of(head)
    if image_format is None:
        raise UnreadableImageError(f"it is not an image of a known format (DICOM, {', '.join(FORMATS)})")
    damaged = f"its {image_format} data are damaged or truncated"
    stream.seek(0)
    # Not Image.open: that warns of large images, which are accepted or refused here, and warnings cannot be held back
    # in one thread alone.
    with _decoding(damaged):
        image = _opener(image_format)(stream)
        refuse_size(*image.size)
        count = int(getattr(image, "n_frames", 1))
    for number in frame_numbers(count, frame):
        with _decoding(damaged):
            if count > 1:
                image.seek(number - 1)
                refuse_size(*image.size)
            image.load()
        # decoding the next page may draw into the memory of this one
        yield _frame(image, number if count > 1 else None, window, share=count == 1)


def _frame(image: Image.Image, number: int | None, window: Window | None, *, share: bool = False) -> Frame:
    notices = ([FAINT] if is_faint(image) else []) + ([NOT_WINDOWED] if window else [])
    return Frame(to_8bit(image, share=share), number, "; ".join(notices) or None)


def _format_of(head: bytes) -> str | None:
    """Which of `FORMATS` a file is of that begins with `head`; None where of none."""
    common = next((name for name, magic in _COMMON.items() if head.startswith(magic)), None)
    return common or next((name for name in FORMATS if _registered(name)[1](head[:16])), None)


def _opener(image_format: str) -> Callable[[BinaryIO], ImageFile]:
    """What opens a file of one of `FORMATS`."""
    if image_format == "JPEG":
        # not PIL's factory, which makes a file of several pages where a camera appended previews
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile
    return _registered(image_format)[0]


@cache
def _registered(image_format: str) -> tuple[Callable[[BinaryIO], ImageFile], Callable[[bytes], Any]]:
    """What PIL has for one of `FORMATS`: what opens a file, and what says whether a head of 16 bytes is of it."""
    import_module(f"PIL.{_PLUGINS[image_format]}")  # which registers itself
    return cast("tuple[Callable[[BinaryIO], ImageFile], Callable[[bytes], Any]]", Image.OPEN[image_format])


@contextmanager
def _decoding(reason: str) -> Iterator[None]:
    """Turn what PIL raises on damaged data into one phrase."""
    try:
        yield
    except MemoryError:
        raise UnreadableImageError("there is too little memory to decode it") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # a failing disk or network, not a failing parser
            raise UnreadableImageError(f"it cannot be read ({error.strerror})") from error
        raise UnreadableImageError(reason) from error
