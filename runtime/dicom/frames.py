"""DICOM images as 8-bit frames, without patient data.

The order is DICOM's (PS3.3 C.11): stored values, Modality LUT or rescale, VOI LUT or window, and only then the
inversion of MONOCHROME1. Choices the standard leaves open:

- Where a file holds both a VOI LUT and a window, the VOI LUT is used; of several, the first.
- A window that is asked for replaces both, and applies to modality values (HU for CT).
- Where there is neither, 8-bit unsigned values without a modality transform are shown as stored. Other integers are
  spread from their own least to their own greatest modality value, pixel padding left out, and the frame says so in its
  notice; a frame of one value becomes black. Floating-point values without a window are refused.
- Colour is taken as it is: neither windows nor colour profiles apply, and 16 bits scale by the full range of the bits
  stored. Overlays and pixel aspect ratios are left alone.

Of a file only the elements in `radiodino.runtime.dicom.elements.TAGS` are read, the others stepped over; pixel data are
read frame by frame; and no error, notice or warning quotes a value other than counts, sizes, bits and a registered
transfer syntax.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError, UnreadableImageError
from ..frame import NOT_WINDOWED, Frame, Window, check_frame, frame_numbers
from ..pixels import scale_to_8bit
from ..source import ByteSource, opened, source_name
from .elements import Elements, reading, signed16
from .file import JPEG, DicomImage, from_dataset, from_stream
from .known import is_dataset
from .lookup import LookupTable, Rescale, apply_window, extent, map_points, stretch
from .spacing import pixel_spacing
from .stored import Header, frame_loader, read_header

if TYPE_CHECKING:
    from pydicom import Dataset

NO_WINDOW = (
    "it states no window, so its own least and greatest value became black and white (set a window with --window C W)"
)
SURPLUS = "it holds more pixel data than the frames it states, and the rest was not read"
COLOUR_SPACE = "its JPEG data state another colour space than its header, and the JPEG data were believed"

_WINDOW_CURE = "set one with --window C W"

Modality: TypeAlias = "Rescale | LookupTable | None"


def dicom_frames(
    source: ByteSource | Dataset, *, window: Window | None = None, frame: int | None = None
) -> Iterator[Frame]:
    """The frames of a DICOM image, decoded one at a time as they are asked for.

    Args:
        source: a file in the DICOM file format (path, bytes, or binary stream, read from its start and left open), or a
            pydicom Dataset, of which nothing but `elements.TAGS`, the transfer syntax and the pixel data is
            accessed.
        window: used in place of the file's own window or VOI LUT, on modality values.
        frame: the one frame to decode, counted from 1; all where None.

    Yields:
        `Frame` with an image of mode ``L`` (MONOCHROME1 and MONOCHROME2) or ``RGB``, its number where the file holds
        several frames, and a notice where something was decided that the file does not state.

    Raises:
        InputError: at once, where `frame` is no frame number.
        UnreadableImageError: while iterating, where the file cannot be opened, is no DICOM file, holds no image, is
            damaged, truncated, larger than `MAX_PIXELS` a frame, in an unsupported transfer syntax or photometric
            interpretation, has no such frame, or states no valid window where one is needed.
    """
    check_frame(frame)
    return _named_frames(source, window, frame)


def _named_frames(source: ByteSource | Dataset, window: Window | None, frame: int | None) -> Iterator[Frame]:
    try:
        if is_dataset(source):
            yield from _frames(from_dataset(cast("Dataset", source)), window, frame)
        else:
            with opened(cast(ByteSource, source)) as stream:
                yield from _frames(from_stream(stream), window, frame)
    except UnreadableImageError as error:
        raise UnreadableImageError(error.reason, error.source or source_name(source)) from None


def _frames(found: DicomImage, window: Window | None, frame: int | None) -> Iterator[Frame]:
    elements = found.elements
    with reading("its header is damaged"):
        header = read_header(found)
        numbers = frame_numbers(header.frames, frame)
        shared = next(iter(elements.items("SharedFunctionalGroupsSequence")), None)
        groups = elements.items("PerFrameFunctionalGroupsSequence")
        if groups and len(groups) < header.frames:
            raise UnreadableImageError(f"it describes {len(groups)} frames, but states {header.frames}")
    with reading("its pixel data are damaged"):
        load, has_surplus = frame_loader(found, header)
    for number in numbers:
        with reading(header.undecodable):
            stored, photometric = load(number)
        notices = [SURPLUS] if has_surplus else []
        described = [elements, *filter(None, (shared, groups[number - 1] if groups else None))]
        with reading("its header is damaged"):
            if photometric.startswith("MONOCHROME"):
                pixels, notice = _grey(header, stored, described, window)
                notices += [notice] if notice else []
            else:
                pixels = (
                    _palette(elements, header, stored) if header.samples == 1 else _rgb(header, stored, photometric)
                )
                notices += [NOT_WINDOWED] if window else []
                notices += [COLOUR_SPACE] if _states_otherwise(header, photometric) else []
        yield Frame(
            Image.fromarray(pixels),
            number if header.frames > 1 else None,
            "; ".join(notices) or None,
            *pixel_spacing(described),
        )


def _grey(
    header: Header, stored: NDArray[Any], described: list[Elements], window: Window | None
) -> tuple[NDArray[np.uint8], str | None]:
    """One grey frame as uint8, and a notice.

    Args:
        header: what describes the stored values.
        stored: the stored values, shape (rows, columns).
        described: the data set, the groups shared by all frames, and those of this frame, as far as there are any; the
            last that states a transform counts.
        window: what replaces the file's own window.
    """
    if header.is_float and not bool(np.isfinite(stored).all()):
        raise UnreadableImageError("its pixel data hold values that are no finite numbers")
    modality = _modality(described, signed=header.signed)
    voi: Window | LookupTable | None = window or _voi(described, signed=_may_be_negative(header, modality))
    notice = None

    def modal(values: NDArray[Any]) -> NDArray[Any]:
        return modality(values) if modality is not None else values

    if voi is None and header.is_float:
        raise UnreadableImageError(f"floating-point pixels need a window, and it states none: {_WINDOW_CURE}")
    if voi is None and modality is None and header.bits_stored == 8 and not header.signed:
        if int(stored.max()) > 255:
            raise UnreadableImageError("its pixel data hold values of more than the 8 bits that its header states")
        grey = stored.astype(np.uint8)
    elif voi is None:
        found = extent(stored, modal, _padding(described[0], signed=header.signed))
        low, span = (found[0], found[1] - found[0]) if found else (np.inf, 0.0)
        grey = map_points(stored, lambda values: stretch(modal(values).astype(np.float64), low, span))
        notice = NO_WINDOW
    elif isinstance(voi, Window):
        chosen = voi
        grey = map_points(stored, lambda values: apply_window(modal(values), chosen))
    else:
        table = voi.in_8bit()
        grey = map_points(stored, lambda values: table(modal(values)))
    return (255 - grey if header.photometric == "MONOCHROME1" else grey), notice


def _modality(described: list[Elements], *, signed: bool) -> Modality:
    """The modality transform, None where there is none or it changes nothing."""
    groups = [item for level in described[1:] for item in level.items("PixelValueTransformationSequence")]
    level = groups[-1] if groups else described[0]
    tables = [] if groups else level.items("ModalityLUTSequence")
    if tables:
        return tables[0].table("LUTDescriptor", "LUTData", None, signed=signed)
    slope, intercept = level.decimals("RescaleSlope"), level.decimals("RescaleIntercept")
    if bool(slope) != bool(intercept):
        raise UnreadableImageError("of RescaleSlope and RescaleIntercept it states only one")
    if not slope or (slope[0], intercept[0]) == (1, 0):
        return None
    if slope[0] == 0 or not np.isfinite([slope[0], intercept[0]]).all():
        raise UnreadableImageError("RescaleSlope is 0, or RescaleSlope or RescaleIntercept too large")
    return Rescale(slope[0], intercept[0])


def _may_be_negative(header: Header, modality: Modality) -> bool:
    if isinstance(modality, Rescale):
        ends = np.array([-(2.0 ** (header.bits_stored - 1)), 0] if header.signed else [0, 2.0**header.bits_stored - 1])
        return bool(modality(ends).min() < 0)
    return modality is None and header.signed


def _voi(described: list[Elements], *, signed: bool) -> Window | LookupTable | None:
    """The first VOI LUT, else the first window, else None."""
    groups = [item for level in described[1:] for item in level.items("FrameVOILUTSequence")]
    level = groups[-1] if groups else described[0]
    tables = level.items("VOILUTSequence")
    if tables:
        return tables[0].table("LUTDescriptor", "LUTData", None, signed=signed)
    center, width = level.decimals("WindowCenter"), level.decimals("WindowWidth")
    if not center and not width:
        return None
    try:
        return Window(center[0], width[0], (level.text("VOILUTFunction") or "LINEAR").upper())
    except (IndexError, InputError):
        raise UnreadableImageError(f"its own window is incomplete or not a valid one: {_WINDOW_CURE}") from None


def _padding(elements: Elements, *, signed: bool) -> tuple[int, int] | None:
    """The least and the greatest stored value that means "no image here" (PS3.3 C.7.5.1.1.2)."""
    value, limit = elements.integer("PixelPaddingValue"), elements.integer("PixelPaddingRangeLimit")
    if value is None:
        return None
    ends = [end & 0xFFFF for end in (value, value if limit is None else limit)]
    ends = sorted(signed16(end) for end in ends) if signed else sorted(ends)
    return ends[0], ends[1]


def _palette(elements: Elements, header: Header, stored: NDArray[Any]) -> NDArray[np.uint8]:
    tables = [
        elements.table(
            f"{colour}PaletteColorLookupTableDescriptor",
            f"{colour}PaletteColorLookupTableData",
            f"Segmented{colour}PaletteColorLookupTableData",
            signed=header.signed,
        ).in_8bit()
        for colour in ("Red", "Green", "Blue")
    ]
    return map_points(stored, lambda values: np.stack([table(values) for table in tables], axis=-1), channels=3)


def _rgb(header: Header, stored: NDArray[Any], photometric: str) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import convert_color_space

    maximum = 2**header.bits_stored - 1
    if int(stored.max()) > maximum:
        raise UnreadableImageError(
            f"its pixel data hold values of more than the {header.bits_stored} bits that its header states"
        )
    if photometric == "RGB":
        return stored.astype(np.uint8) if maximum == 255 else scale_to_8bit(stored, maximum)
    if photometric not in ("YBR_FULL", "YBR_FULL_422") or maximum != 255:
        raise UnreadableImageError(
            f"{photometric} of {header.bits_stored} bits in this transfer syntax is not supported"
        )
    result = np.empty(stored.shape, np.uint8)
    step = max(1, (1 << 20) // header.columns)
    for row in range(0, header.rows, step):
        result[row : row + step] = convert_color_space(stored[row : row + step].astype(np.uint8), photometric, "RGB")
    return result


def _states_otherwise(header: Header, photometric: str) -> bool:
    """Whether JPEG data turned out to be RGB against a header of YBR, or the reverse."""
    return header.syntax in JPEG and header.samples == 3 and (header.photometric == "RGB") != (photometric == "RGB")
