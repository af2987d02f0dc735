"""The elements of a DICOM data set that describe pixels, read without those that describe the patient."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RadioDinoError, UnreadableImageError
from .lookup import LookupTable, expand_segments

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = {
    "ImagerPixelSpacing": 0x00181164,
    "NominalScannedPixelSpacing": 0x00182010,
    "SequenceOfUltrasoundRegions": 0x00186011,
    "RegionSpatialFormat": 0x00186012,
    "PhysicalUnitsXDirection": 0x00186024,
    "PhysicalUnitsYDirection": 0x00186026,
    "PhysicalDeltaX": 0x0018602C,
    "PhysicalDeltaY": 0x0018602E,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "PlanarConfiguration": 0x00280006,
    "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
    "PixelPaddingValue": 0x00280120,
    "PixelPaddingRangeLimit": 0x00280121,
    "WindowCenter": 0x00281050,
    "WindowWidth": 0x00281051,
    "RescaleIntercept": 0x00281052,
    "RescaleSlope": 0x00281053,
    "VOILUTFunction": 0x00281056,
    "RedPaletteColorLookupTableDescriptor": 0x00281101,
    "GreenPaletteColorLookupTableDescriptor": 0x00281102,
    "BluePaletteColorLookupTableDescriptor": 0x00281103,
    "RedPaletteColorLookupTableData": 0x00281201,
    "GreenPaletteColorLookupTableData": 0x00281202,
    "BluePaletteColorLookupTableData": 0x00281203,
    "SegmentedRedPaletteColorLookupTableData": 0x00281221,
    "SegmentedGreenPaletteColorLookupTableData": 0x00281222,
    "SegmentedBluePaletteColorLookupTableData": 0x00281223,
    "ModalityLUTSequence": 0x00283000,
    "LUTDescriptor": 0x00283002,
    "LUTData": 0x00283006,
    "VOILUTSequence": 0x00283010,
    "PixelMeasuresSequence": 0x00289110,
    "PixelValueTransformationSequence": 0x00289145,
    "FrameVOILUTSequence": 0x00289132,
    "SharedFunctionalGroupsSequence": 0x52009229,
    "PerFrameFunctionalGroupsSequence": 0x52009230,
    "ExtendedOffsetTable": 0x7FE00001,
    "ExtendedOffsetTableLengths": 0x7FE00002,
}
"""The elements that are read, by keyword (pixel data apart)."""

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@contextmanager
def reading(reason: str) -> Iterator[None]:
    """Turn whatever pydicom and its decoders raise into one phrase.

    They raise nearly every kind of exception on damaged data, and their texts may quote values from the file, so none
    of it passes.
    """
    try:
        yield
    except RadioDinoError:
        raise
    except MemoryError:
        raise UnreadableImageError("there is too little memory to decode it") from None
    except OSError as error:
        # an error number marks a failing disk or network, not a failing parser
        failed = f"it cannot be read ({error.strerror})" if error.errno is not None else reason
        raise UnreadableImageError(failed) from None
    except Exception:
        raise UnreadableImageError(reason) from None


class Elements:
    """The elements of one data set that are in `TAGS`.

    Numbers and codes are parsed here rather than by pydicom, whose warnings about malformed values quote them.
    """

    def __init__(self, dataset: Dataset, little_endian: bool) -> None:
        self._dataset = dataset
        self._little_endian = little_endian

    def value(self, name: str) -> Any:
        """The value as stored (bytes) or as pydicom has converted it; None where it is absent or empty."""
        element = self._dataset.get_item(TAGS[name])
        value = None if element is None else element.value
        return None if isinstance(value, Sized) and len(value) == 0 else value

    def text(self, name: str) -> str | None:
        """A code string."""
        value = self.value(name)
        text = value.decode("latin-1") if isinstance(value, bytes) else "" if value is None else str(value)
        return text.strip(" \0") or None

    def decimals(self, name: str) -> list[float]:
        """Numbers that DICOM stores as text (DS and IS)."""
        value = self.value(name)
        if isinstance(value, str | bytes):
            text = self.text(name)
            value = text.split("\\") if text else None
        numbers = [] if value is None else list(value) if isinstance(value, Iterable) else [value]
        texts = [str(number).strip(" \0") for number in numbers]
        if not all(_NUMBER.fullmatch(text) for text in texts):
            raise UnreadableImageError(f"{name} is not a number")
        return [float(text) for text in texts]

    def double(self, name: str) -> float | None:
        """The first of 64-bit floating-point numbers (FD)."""
        value = self.value(name)
        if isinstance(value, bytes):
            if len(value) % 8:
                raise UnreadableImageError(f"{name} is damaged")
            value = np.frombuffer(value, "<f8" if self._is_little_endian(name) else ">f8")
        numbers = [] if value is None else list(value) if isinstance(value, Iterable) else [value]
        return next(map(float, numbers), None)

    def integers(self, name: str) -> list[int]:
        """16-bit numbers (US and SS): as patterns from 0 to 65535 where still in bytes, else as pydicom read them."""
        value = self.value(name)
        if isinstance(value, bytes):
            if len(value) % 2:
                raise UnreadableImageError(f"{name} is damaged")
            return [int(word) for word in np.frombuffer(value, "<u2" if self._is_little_endian(name) else ">u2")]
        numbers = [] if value is None else list(value) if isinstance(value, Iterable) else [value]
        return [int(number) for number in numbers]

    def integer(self, name: str) -> int | None:
        """The first of `integers`."""
        return next(iter(self.integers(name)), None)

    def needed(self, name: str) -> int:
        """The first of `integers`, which must be there."""
        value = self.integer(name)
        if value is None:
            raise UnreadableImageError(f"{name} is missing from its header")
        return value

    def items(self, name: str) -> list[Elements]:
        """The items of a sequence."""
        if self._dataset.get_item(TAGS[name]) is None:
            return []
        little_endian = self._is_little_endian(name)
        return [Elements(item, little_endian) for item in self._dataset[TAGS[name]].value or ()]

    def table(self, descriptor: str, data: str, segments: str | None, *, signed: bool) -> LookupTable:
        """A look-up table.

        Args:
            descriptor: the element with the number of entries, the first value mapped, and the bits of an entry.
            data: the element with the entries.
            segments: the element that may hold them in segments instead.
            signed: whether the first value mapped is signed, where the file does not state it (implicit VR).
        """
        described = self.integers(descriptor)
        if len(described) != 3:
            raise UnreadableImageError(f"{descriptor} is not three numbers")
        count, first, bits = (described[0] & 0xFFFF) or 65536, described[1], described[2]
        if not 8 <= bits <= 16:
            raise UnreadableImageError(f"{descriptor} states {bits} bits an entry: 8 to 16 are defined")
        vr = self._dataset.get_item(TAGS[descriptor]).VR
        if vr == "SS" or (vr != "US" and signed):
            first = signed16(first)
        name = segments if segments and self.value(segments) is not None else data
        entries = self._expanded(name, bits) if name == segments else self._entries(name, count, bits)
        if len(entries) != count:
            raise UnreadableImageError(f"{name} does not hold the {count} entries that its descriptor states")
        if int(entries.max()) > 2**bits - 1:
            raise UnreadableImageError(f"{name} holds entries of more than the {bits} bits that its descriptor states")
        return LookupTable(first, entries, bits)

    def _entries(self, name: str, count: int, bits: int) -> NDArray[np.uint16]:
        value = self.value(name)
        if value is None:
            raise UnreadableImageError(f"{name} is missing from its header")
        if isinstance(value, bytes) and bits == 8 and len(value) == count + count % 2 and count > 1:
            return self._bytes(name)[:count].astype(np.uint16)
        return np.array([word & 0xFFFF for word in self.integers(name)], np.uint16)

    def _expanded(self, name: str, bits: int) -> NDArray[np.uint16]:
        words = self._bytes(name) if bits == 8 else np.array([word & 0xFFFF for word in self.integers(name)])
        try:
            return np.array(expand_segments(words), np.uint16)
        except ValueError:
            raise UnreadableImageError(f"{name} holds segments that are broken or of an unsupported kind") from None

    def _bytes(self, name: str) -> NDArray[np.uint8]:
        """8-bit entries; where they are stored in big-endian words (OW), each pair is swapped."""
        element = self._dataset.get_item(TAGS[name])
        values = np.frombuffer(element.value, np.uint8)
        swapped = element.VR == "OW" and not self._is_little_endian(name) and values.size % 2 == 0
        return values.reshape(-1, 2)[:, ::-1].reshape(-1) if swapped else values

    def _is_little_endian(self, name: str) -> bool:
        return bool(getattr(self._dataset.get_item(TAGS[name]), "is_little_endian", self._little_endian))


def signed16(pattern: int) -> int:
    """A 16-bit pattern (0 to 65535) as the two's complement number it stands for; negative numbers stay."""
    return pattern - 65536 if pattern > 32767 else pattern
