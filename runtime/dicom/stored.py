"""The stored values of a DICOM image, frame by frame: header checked, decompressed, not yet made visible."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableImageError
from ..pixels import refuse_size
from .elements import Elements
from .file import BIG_ENDIAN, JPEG, JPEG_2000, NATIVE, RLE, DicomImage, PixelData, syntax_name

SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_RCT": 3,
    "YBR_ICT": 3,
}
"""The photometric interpretations that are read, and the samples a pixel of each."""

# One decoder each, so that the pixels do not depend on what else is installed.
_PLUGINS = {**dict.fromkeys((*JPEG, *JPEG_2000), "pylibjpeg"), RLE: "pydicom"}


@dataclass(frozen=True)
class Header:
    """The elements that describe the stored pixels, checked."""

    syntax: str
    rows: int
    columns: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: int
    frames: int
    is_float: bool

    @property
    def samples(self) -> int:
        """Samples a pixel: 1 (grey or palette) or 3."""
        return SAMPLES[self.photometric]

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame."""
        pixels = self.rows * self.columns * self.samples
        if self.photometric == "YBR_FULL_422":  # two pixels share their colour
            pixels = pixels // 3 * 2
        return pixels * self.bits_allocated

    @property
    def undecodable(self) -> str:
        """What to say where the stored values cannot be decoded."""
        if self.syntax in NATIVE:
            return "its pixel data are damaged"
        return (
            f"its pixel data cannot be decoded: they are damaged, or an unsupported kind of {syntax_name(self.syntax)}"
        )


def read_header(found: DicomImage) -> Header:
    """The header of an image.

    Raises:
        UnreadableImageError: where an element is missing, or its value undefined or unsupported.
    """
    elements, syntax, pixel = found.elements, found.syntax, found.pixel
    rows, columns = elements.needed("Rows"), elements.needed("Columns")
    refuse_size(columns, rows)
    photometric = elements.text("PhotometricInterpretation")
    if photometric is None:
        raise UnreadableImageError("PhotometricInterpretation is missing from its header")
    if photometric not in SAMPLES:
        raise UnreadableImageError(f"its photometric interpretation is none of {', '.join(SAMPLES)}")
    samples = elements.needed("SamplesPerPixel")
    if samples != SAMPLES[photometric]:
        raise UnreadableImageError(f"{photometric} needs {SAMPLES[photometric]} samples a pixel, but it has {samples}")

    is_float = pixel.keyword != "PixelData"
    allocated = elements.needed("BitsAllocated")
    stored = allocated if is_float else elements.needed("BitsStored")
    defined = {"FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}.get(pixel.keyword, (1, 8, 16, 32))
    if allocated not in defined or not 1 <= stored <= allocated or (allocated == 1 and samples > 1):
        raise UnreadableImageError(
            f"{stored} bits stored of {allocated} allocated are not supported for {photometric} in {pixel.keyword}"
        )
    if is_float and (samples != 1 or photometric == "PALETTE COLOR" or syntax not in NATIVE):
        raise UnreadableImageError(f"{pixel.keyword} must be uncompressed grey values")
    high_bit = elements.integer("HighBit")
    if syntax in NATIVE and not is_float and high_bit not in (None, stored - 1):
        raise UnreadableImageError(f"its values end at bit {high_bit}, where only bit {stored - 1} is supported")
    signed = 0 if is_float else elements.needed("PixelRepresentation")
    if signed not in (0, 1) or (signed and samples == 3):
        raise UnreadableImageError(f"PixelRepresentation {signed} is not defined for {photometric}")
    # compressed data state their own order of samples
    planar = elements.needed("PlanarConfiguration") if samples == 3 and syntax in NATIVE else 0
    if planar not in (0, 1):
        raise UnreadableImageError(f"PlanarConfiguration {planar} is not defined")

    frames = elements.decimals("NumberOfFrames")[:1] or [1.0]
    if frames[0] < 1 or not frames[0].is_integer():
        raise UnreadableImageError("NumberOfFrames is not a whole number of at least 1")
    return Header(syntax, rows, columns, photometric, allocated, stored, bool(signed), planar, int(frames[0]), is_float)


Loader: TypeAlias = Callable[[int], "tuple[NDArray[Any], str]"]
"""From a frame number to its stored values, (rows, columns) or (rows, columns, 3), and their colour space."""


def frame_loader(found: DicomImage, header: Header) -> tuple[Loader, bool]:
    """How to load a frame, and whether there are more pixel data than the frames that the header states.

    Raises:
        UnreadableImageError: where the pixel data are truncated or damaged. The loader raises it too, and, where a
            frame cannot be decoded, whatever pydicom and its decoders raise.
    """
    pixel = found.pixel
    if header.syntax not in NATIVE:
        frames = _frame_fragments(found.elements, header, pixel, _fragments(pixel))
        return lambda number: _compressed(header, pixel, frames[number - 1]), False
    if pixel.length is None:
        raise UnreadableImageError("its pixel data are damaged")
    needed = -(-header.frame_bits * header.frames // 8)
    if pixel.length < needed:
        raise UnreadableImageError(
            f"its pixel data are truncated: {header.frames} frame(s) need {needed} bytes, but it holds {pixel.length}"
        )
    frame_bytes = -(-header.frame_bits // 8)
    if header.photometric == "YBR_FULL_422" and pixel.length >= needed // 2 * 3:
        raise UnreadableImageError("its pixel data are larger than YBR_FULL_422 allows")
    has_surplus = pixel.length - needed >= max(frame_bytes, 2)  # one byte may be padding
    if header.bits_allocated == 1:
        return lambda number: (_unpacked(header, pixel, number), header.photometric), has_surplus
    return lambda number: _uncompressed(header, pixel, number), has_surplus


def _options(header: Header, pixel: PixelData) -> dict[str, Any]:
    return {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "photometric_interpretation": header.photometric,
        "planar_configuration": header.planar,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": int(header.signed),
        "pixel_keyword": pixel.keyword,
        "pixel_vr": pixel.vr,
    }


def _uncompressed(header: Header, pixel: PixelData, number: int) -> tuple[NDArray[Any], str]:
    from pydicom.pixels.decoders.base import get_decoder

    pixel.stream.seek(pixel.start)
    options = {**_options(header, pixel), "number_of_frames": header.frames}
    stored, properties = get_decoder(header.syntax).as_array(
        pixel.stream, index=number - 1, raw=True, validate=False, **options
    )
    return _in_native_order(stored), str(properties["photometric_interpretation"])


def _unpacked(header: Header, pixel: PixelData, number: int) -> NDArray[np.uint8]:
    """One frame of 1-bit pixels; frames follow each other without padding to whole bytes."""
    first = (number - 1) * header.frame_bits
    pixel.stream.seek(pixel.start + first // 8)
    packed = pixel.stream.read(-(-(first % 8 + header.frame_bits) // 8))
    if pixel.vr == "OW" and header.syntax == BIG_ENDIAN:
        raise UnreadableImageError("1-bit pixels in big-endian words are not supported")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")[first % 8 :]
    return bits[: header.frame_bits].reshape(header.rows, header.columns)


def _compressed(header: Header, pixel: PixelData, fragments: list[tuple[int, int]]) -> tuple[NDArray[Any], str]:
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    parts = []
    for start, length in fragments:
        pixel.stream.seek(start)
        parts.append(pixel.stream.read(length))
    data = b"".join(parts)
    if header.syntax != RLE:
        _check_codestream(header, data)
    decoder, plugin = get_decoder(header.syntax), _PLUGINS[header.syntax]
    if plugin not in decoder.available_plugins:
        raise UnreadableImageError(f"decoding it needs {plugin}: run  pip install --force-reinstall radiodino")
    options = {**_options(header, pixel), "number_of_frames": 1}
    stored, properties = decoder.as_array(
        encapsulate([data], has_bot=False), index=0, raw=True, validate=False, decoding_plugin=plugin, **options
    )
    return _in_native_order(stored), str(properties["photometric_interpretation"])


def _in_native_order(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _fragments(pixel: PixelData) -> list[tuple[int, int]]:
    """Position and length of each item of encapsulated pixel data (PS3.5 A.4), the Basic Offset Table being the first.

    Every item must lie within the stream, and where their total length is undefined a delimiter must follow them, so
    that no truncated frame is ever decoded.
    """
    stream, position = pixel.stream, pixel.start
    end = pixel.end if pixel.length is None else pixel.start + pixel.length
    fragments = []
    while True:
        stream.seek(position)
        head = stream.read(8)
        if position == end and pixel.length is not None:
            break
        if len(head) < 8:
            raise UnreadableImageError("the file is truncated within its pixel data")
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            break
        if (group, element) != (0xFFFE, 0xE000) or length == 0xFFFFFFFF:
            raise UnreadableImageError("its pixel data are damaged")
        position += 8
        if position + length > end:
            raise UnreadableImageError("the file is truncated within its pixel data")
        fragments.append((position, length))
        position += length
    if len(fragments) < 2:
        raise UnreadableImageError("its pixel data are empty")
    return fragments


def _frame_fragments(
    elements: Elements, header: Header, pixel: PixelData, fragments: list[tuple[int, int]]
) -> list[list[tuple[int, int]]]:
    """The fragments of each frame, by the extended offsets, the basic offsets, or where codestreams begin."""
    (table, table_length), parts = fragments[0], fragments[1:]
    extended = elements.value("ExtendedOffsetTable")
    if isinstance(extended, bytes):
        offsets = [int(offset) for offset in np.frombuffer(extended, "<u8")]
    else:
        pixel.stream.seek(table)
        offsets = [int(offset) for offset in np.frombuffer(pixel.stream.read(table_length), "<u4")]
    first = parts[0][0] - 8
    starts = {start - 8 - first: index for index, (start, _) in enumerate(parts)}
    if offsets:
        if len(offsets) != header.frames or offsets[0] != 0 or any(offset not in starts for offset in offsets):
            raise UnreadableImageError(f"its offset table does not fit the {header.frames} frame(s) that it states")
        begins = [starts[offset] for offset in offsets]
    elif header.frames == 1:
        begins = [0]
    elif header.frames == len(parts):
        begins = list(range(len(parts)))
    else:
        begins = [index for index, part in enumerate(parts) if _begins_codestream(pixel.stream, part[0])]
    if len(begins) != header.frames or begins != sorted(set(begins)):
        raise UnreadableImageError(f"its {len(parts)} fragments do not show where its {header.frames} frames begin")
    return [parts[begin:end] for begin, end in zip(begins, [*begins[1:], len(parts)], strict=True)]


def _begins_codestream(stream: BinaryIO, position: int) -> bool:
    stream.seek(position)
    return stream.read(3) in (b"\xff\xd8\xff", b"\xff\x4f\xff")


def _check_codestream(header: Header, data: bytes) -> None:
    """Refuse compressed data that are cut short, or of another size than the header's (which the decoder allocates)."""
    if b"\xff\xd9" not in data[-16:]:
        raise UnreadableImageError("its pixel data are truncated: a compressed frame lacks its end marker")
    size = _jpeg_2000_size(data) if header.syntax in JPEG_2000 else _jpeg_size(data)
    if size is None:
        raise UnreadableImageError("its pixel data are damaged")
    if size != (header.columns, header.rows):
        raise UnreadableImageError(
            f"its compressed data hold {size[0]} × {size[1]} pixels, but its header states "
            f"{header.columns} × {header.rows}"
        )


def _jpeg_2000_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the SIZ marker (ISO/IEC 15444-1 A.5.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 24:
        return None
    right, bottom, left, top = struct.unpack(">4L", data[start + 8 : start + 24])
    return right - left, bottom - top


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the start-of-frame marker of JPEG or JPEG-LS (ISO/IEC 10918-1 B.2.2).

    None where there is none before a start of scan, or no scan: without one, the decoder would make up the pixels.
    """
    size = None
    position = 2 if data[:2] == b"\xff\xd8" else len(data)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:  # start of scan
            return size
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # start of frame
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            size = width, height
        fill = marker == 0xFF
        position += 1 if fill else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
