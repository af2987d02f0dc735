"""Where in a DICOM file, or a pydicom Dataset, the elements and the pixel data lie."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from ..errors import UnreadableImageError
from ..pixels import MAX_PIXELS
from .elements import TAGS, Elements, reading
from .known import is_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))  # JPEG-LS included
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
RLE = "1.2.840.10008.1.2.5"
SYNTAXES = (*NATIVE, DEFLATED, *JPEG, *JPEG_2000, RLE)
"""The transfer syntaxes that are read."""

_PIXEL_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_TRANSFER_SYNTAX = 0x00020010
_CHARACTER_SET = 0x00080005
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF
_MAX_INFLATED = 4 * MAX_PIXELS
_NO_IMAGE = "it holds no pixel data, as reports and plans do"


@dataclass(frozen=True)
class PixelData:
    """Where the pixel data lie."""

    stream: BinaryIO
    keyword: str
    vr: str
    start: int
    length: int | None
    """Bytes, or None where undefined (compressed data)."""
    end: int
    """Where the stream ends."""


@dataclass(frozen=True)
class DicomImage:
    """One image in DICOM, found but not yet decoded."""

    elements: Elements
    syntax: str
    """One of `SYNTAXES`; `EXPLICIT` where the file is deflated."""
    pixel: PixelData


def from_dataset(dataset: Dataset) -> DicomImage:
    """The image in `dataset`; nothing but `TAGS`, the transfer syntax and the pixel data is accessed.

    Raises:
        UnreadableImageError: where there is no image in it, or it states no supported transfer syntax.
    """
    with reading("its header is damaged"):
        tags = [tag for tag in _PIXEL_KEYWORDS if dataset.get_item(tag) is not None]
        if not tags:
            raise UnreadableImageError(_NO_IMAGE)
        meta = getattr(dataset, "file_meta", None)
        stated = meta.get_item(_TRANSFER_SYNTAX) if meta is not None else None
        syntax = _text(stated.value if stated is not None else None)
        _check_syntax(syntax)
        element = dataset.get_item(tags[0])
        value = element.value
        if not value:
            raise UnreadableImageError("its pixel data are empty")
        stream = BytesIO(value) if isinstance(value, bytes | bytearray | memoryview) else value
        start = stream.tell()
        end = stream.seek(0, os.SEEK_END)
        pixel = PixelData(stream, _PIXEL_KEYWORDS[tags[0]], str(element.VR), start, end - start, end)
        # a data set in memory is no longer deflated
        elements = Elements(dataset, syntax != BIG_ENDIAN)
        return DicomImage(elements, EXPLICIT if syntax == DEFLATED else syntax, pixel)


def from_stream(stream: BinaryIO) -> DicomImage:
    """The image in a file of the DICOM file format, positioned at its start; pixel data are left where they are.

    Raises:
        UnreadableImageError: where it is no such file, is damaged or truncated, holds no image, or states no supported
            transfer syntax.
    """
    if not is_dicom(stream.read(132)):
        raise UnreadableImageError(
            "it is no DICOM file, for 'DICM' is missing at byte 128: export it anew in the DICOM file format"
        )
    syntax = _read_syntax(stream)
    _check_syntax(syntax)
    if syntax == DEFLATED:
        stream, syntax = _inflated(stream), EXPLICIT
    start = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(start)
    with reading("its header is damaged"):
        dataset, is_implicit = _read_elements(stream, syntax)
        if stream.tell() > end:
            raise UnreadableImageError("the file is truncated")
        pixel = _pixel_data(stream, end, is_implicit, _endian(syntax))
        return DicomImage(Elements(dataset, syntax != BIG_ENDIAN), syntax, pixel)


def _endian(syntax: str) -> str:
    return ">" if syntax == BIG_ENDIAN else "<"


def _read_syntax(stream: BinaryIO) -> str:
    """The transfer syntax in the File Meta Information (PS3.10 7.1), leaving the stream at its end.

    The rest of that group is skipped: it names the sender and the instance.
    """
    syntax = ""
    while True:
        start = stream.tell()
        head = stream.read(8)
        if len(head) < 8 or head[:2] != b"\2\0":
            stream.seek(start)
            return syntax
        element, vr, length = struct.unpack("<H2sH", head[2:])
        if vr in _LONG_VRS:
            length = int.from_bytes(stream.read(4), "little")
        elif not _is_vr(vr):  # written with implicit VR, against the standard
            length = int.from_bytes(head[4:], "little")
        if element == _TRANSFER_SYNTAX & 0xFFFF:
            syntax = _text(stream.read(length))
        else:
            stream.seek(length, os.SEEK_CUR)


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")


def _inflated(stream: BinaryIO) -> BinaryIO:
    """The data set that follows, inflated to a bounded size."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(stream.read(), _MAX_INFLATED)
    except zlib.error:
        raise UnreadableImageError("its deflated data are damaged") from None
    if not inflater.eof:
        large = len(data) >= _MAX_INFLATED
        raise UnreadableImageError("its deflated data are too large" if large else "the file is truncated")
    return BytesIO(data)


def _read_elements(stream: BinaryIO, syntax: str) -> tuple[Dataset, bool]:
    """The elements in `TAGS` up to the pixel data, where the stream is left, and whether those are of implicit VR.

    pydicom skips other elements, with two exceptions that are skipped here: it keeps the Specific Character Set, and
    quotes an unknown one in a warning; and it parses every sequence of undefined length, which may name the patient.
    """
    from pydicom.dataset import Dataset
    from pydicom.filereader import read_dataset

    stopped: list[tuple[int, bool]] = []

    def stop(tag: int, vr: str | None, length: int) -> bool:
        is_foreign = length == _UNDEFINED and tag not in TAGS.values()
        if tag in _PIXEL_KEYWORDS or tag == _CHARACTER_SET or is_foreign:
            stopped.append((int(tag), vr is None))
            return True
        return False

    dataset = Dataset()
    while True:
        stopped.clear()
        part = read_dataset(
            stream, syntax == IMPLICIT, syntax != BIG_ENDIAN, stop_when=stop, specific_tags=list(TAGS.values())
        )
        dataset.update({tag: part.get_item(tag) for tag in sorted(part.keys())})
        tag, is_implicit = stopped[-1] if stopped else (0, False)
        if not stopped or tag in _PIXEL_KEYWORDS:
            return dataset, is_implicit
        _skip_element(stream, is_implicit, _endian(syntax))


def _skip_element(stream: BinaryIO, is_implicit: bool, endian: str) -> None:
    """Step over the element at which the stream stands, and all that is nested in it."""
    start = stream.tell()
    head = stream.read(12)
    # an implicit VR within explicit ones is a fault that pydicom, too, puts up with
    vr, length, value = _value(head, start, is_implicit or not _is_vr(head[4:6]), endian)
    if length != _UNDEFINED:
        stream.seek(value + length)
        return
    stream.seek(value)
    while (item := _item(stream, endian))[0] != 0xFFFEE0DD:
        if item[0] != 0xFFFEE000:
            raise ValueError("a sequence must consist of items")
        if item[1] != _UNDEFINED:
            stream.seek(item[1], os.SEEK_CUR)
            continue
        while (item := _item(stream, endian))[0] != 0xFFFEE00D:
            stream.seek(-8, os.SEEK_CUR)
            _skip_element(stream, is_implicit or vr == "UN", endian)  # UN holds implicit VR (PS3.5 6.2.2)


def _item(stream: BinaryIO, endian: str) -> tuple[int, int]:
    """Tag and length of an item or a delimiter."""
    head = stream.read(8)
    return _tag(head, endian), int(struct.unpack(f"{endian}L", head[4:8])[0])


def _is_vr(text: bytes) -> bool:
    return text.isalpha() and text.isupper()


def _tag(head: bytes, endian: str) -> int:
    group, element = struct.unpack(f"{endian}HH", head[:4])
    return int(group << 16 | element)


def _value(head: bytes, start: int, is_implicit: bool, endian: str) -> tuple[str, int, int]:
    """VR, length and position of the value of the element whose 12 first bytes at `start` are `head` (PS3.5 7.1)."""
    if is_implicit:
        return "OW", int(struct.unpack(f"{endian}L", head[4:8])[0]), start + 8
    vr = head[4:6].decode("latin-1")
    if head[4:6] in _LONG_VRS:
        return vr, int(struct.unpack(f"{endian}L", head[8:12])[0]), start + 12
    return vr, int(struct.unpack(f"{endian}H", head[6:8])[0]), start + 8


def _pixel_data(stream: BinaryIO, end: int, is_implicit: bool, endian: str) -> PixelData:
    """The pixel data element at which the stream stands."""
    start = stream.tell()
    head = stream.read(12).ljust(12, b"\0")
    keyword = _PIXEL_KEYWORDS.get(_tag(head, endian))
    if keyword is None:
        raise UnreadableImageError(_NO_IMAGE)
    vr, length, start = _value(head, start, is_implicit, endian)
    defined = None if length == _UNDEFINED else length
    if start + (defined or 0) > end:
        raise UnreadableImageError("the file is truncated within its pixel data")
    if defined == 0:
        raise UnreadableImageError("its pixel data are empty")
    return PixelData(stream, keyword, vr, start, defined, end)


def _check_syntax(syntax: str) -> None:
    if syntax in SYNTAXES:
        return
    if not syntax:
        raise UnreadableImageError(
            "it states no transfer syntax: set file_meta.TransferSyntaxUID, or export the file anew"
        )
    name = syntax_name(syntax)
    found = f"the transfer syntax {name}" if name else "its transfer syntax"
    raise UnreadableImageError(f"{found} is not supported: convert it to Explicit VR Little Endian first")


def syntax_name(syntax: str) -> str | None:
    """The name of a registered transfer syntax, None for any other text (it is not quoted)."""
    from pydicom.uid import AllTransferSyntaxes

    return next((str(known.name) for known in AllTransferSyntaxes if known == syntax), None)
