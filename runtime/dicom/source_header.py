"""The header of a DICOM image from which another DICOM object is derived, with its patient and its study.

Unlike `radiodino.runtime.dicom.frames`, which never touches them, this reads the patient's elements, for a derived
object must carry them to be filed with its source. Nothing of them is quoted in an error, a warning or a log.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..atomic import atomic_path
from ..errors import DicomSourceError, InputError, UnreadableImageError
from ..extras import require
from ..source import ByteSource, opened, source_name
from .elements import reading
from .known import is_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

IDENTIFIERS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
"""What a derived object takes over as it stands in its source; of type 2 in DICOM: present, and empty where unknown."""
_REFERENCES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
"""Without these there is nothing to refer to (type 1)."""

_Given = TypeVar("_Given")

# pydicom's validation is switched for the whole process, and two that switch it back at once would leave it switched.
_VALIDATION = threading.Lock()


@dataclass(frozen=True)
class Derivation:
    """What is made of which file, for errors."""

    product: str
    """``DICOM segmentation`` or ``DICOM report``."""
    cure: str
    """What to do where it cannot be made."""
    source: str | None
    """The file's name as the user wrote it, where it has one."""

    def impossible(self, reason: str) -> DicomSourceError:
        """The error that says why it cannot be made."""
        return DicomSourceError(
            f"no {self.product} can be made of {self.source or 'this image'}: {reason}; {self.cure}"
        )

    @contextmanager
    def library(self) -> Iterator[None]:
        """Turn what highdicom and pydicom raise, where the header lacks what they need, into one sentence.

        Their own may quote values of the file.

        Raises:
            DicomSourceError: in their place.
        """
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError) as error:
            name = type(error).__name__
            raise self.impossible(
                f"highdicom refuses its header, which lacks or contradicts something ({name})"
            ) from None


@contextmanager
def deriving(product: str, cure: str, source: object) -> Iterator[Derivation]:
    """Reads, builds and writes happen in this block, one at a time, with pydicom's validation of values off.

    The source's own values are taken over as they are, valid or not, and the validation would quote them in warnings.

    Raises:
        MissingExtraError: where highdicom is not installed.
    """
    require("dicom", "highdicom")
    from pydicom.config import disable_value_validation

    with _VALIDATION, disable_value_validation():
        yield Derivation(product, cure, source_name(source))


def read_source_header(source: ByteSource, derivation: Derivation) -> Dataset:
    """All elements of a DICOM image but its pixels; `IDENTIFIERS` that are missing are there, and empty.

    Raises:
        UnreadableImageError: where it cannot be opened, is damaged, or is no file of the DICOM format.
        DicomSourceError: where it is no image, or does not say of which study, series and instance it is.
    """
    import pydicom

    try:
        with opened(source) as stream:
            if not is_dicom(stream.read(132)):
                raise UnreadableImageError("it is no DICOM file, for 'DICM' is missing at byte 128")
            stream.seek(0)
            with reading("its header is damaged"):
                header = pydicom.dcmread(stream, stop_before_pixels=True)
                header.decode()
                for _ in header.iterall():  # each value is converted now, so that no damage shows up later
                    pass
                if number_of_frames(header) < 1:
                    raise UnreadableImageError("NumberOfFrames is not a whole number of at least 1")
    except UnreadableImageError as error:
        raise UnreadableImageError(error.reason, source_name(source)) from None
    missing = [name for name in _REFERENCES if not header.get(name)]
    if missing:
        raise derivation.impossible(f"its header has no {', '.join(missing)}, without which nothing can refer to it")
    if "Rows" not in header or "Columns" not in header:
        raise derivation.impossible("it is no image, for its header has no Rows and Columns")
    for name in IDENTIFIERS:
        if name not in header:
            setattr(header, name, None)
    return header


def number_of_frames(header: Dataset) -> int:
    """How many frames an image has."""
    return int(header.get("NumberOfFrames") or 1)


def by_frame_number(given: Mapping[int | None, _Given], count: int, what: str) -> dict[int, _Given]:
    """What is given for the frames of an image, in the order of their numbers.

    Args:
        given: by frame number, counted from 1, or None (or 1) for the only frame.
        count: frames of the image.
        what: names them in the error.

    Raises:
        InputError: where nothing is given, or a number is that of no frame.
    """
    numbers = {key: 1 if key is None and count == 1 else key for key in given}
    if not given or any(not isinstance(number, int) or not 1 <= number <= count for number in numbers.values()):
        raise InputError(
            f"{what} are given by frame number, 1 to {count}, or by None where there is one frame, but found "
            f"{list(given)}"
        )
    if len(set(numbers.values())) < len(numbers):
        raise InputError(f"one frame has two {what}, one of them under None: give one")
    return {int(number or 1): given[key] for key, number in sorted(numbers.items(), key=lambda pair: pair[1] or 1)}


def altered(header: Dataset, **values: object) -> Dataset:
    """A copy of `header` for highdicom, with other values of some elements.

    It has no `IDENTIFIERS`, of which highdicom refuses or quotes some that archives hold all the same.
    """
    from pydicom import Dataset

    values = {**dict.fromkeys(IDENTIFIERS), **values}
    copied = Dataset()
    copied.update({element.tag: element for element in header if element.keyword not in values})
    for name, value in values.items():
        setattr(copied, name, value)
    copied.pop("SpecificCharacterSet", None)
    return copied


def add_identifiers(derived: Dataset, header: Dataset, texts: tuple[str, ...], derivation: Derivation) -> None:
    """Give `derived` what identifies the patient and the study of `header`, as it stands there.

    Args:
        derived: the object; changed.
        header: of the source.
        texts: what the user or the model put into `derived`; where it is not ASCII, `derived` is stored in UTF-8, else
            in the source's own character set.
        derivation: for the error.

    Raises:
        DicomSourceError: where a text of the source is not in the character set that it states.
    """
    for name in IDENTIFIERS:
        derived[name] = copy.deepcopy(header[name])
    derived.pop("SpecificCharacterSet", None)
    stated = header.get("SpecificCharacterSet")
    if not all(text.isascii() for text in texts):
        derived.SpecificCharacterSet = "ISO_IR 192"
    elif stated:
        derived.SpecificCharacterSet = stated
    if any("\ufffd" in str(element.value) for element in derived.iterall() if element.VR in _TEXTS):
        raise derivation.impossible("its texts are not in the character set that its header states")


_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")


def write_derived(derived: Any, target: Path, derivation: Derivation, *, force: bool) -> None:
    """Write a finished object as a DICOM file, whole or not at all.

    Raises:
        OutputError: where `target` cannot be written, or exists and `force` is not set.
        DicomSourceError: where the source's own elements cannot be stored.
    """
    with atomic_path(target, overwrite=force) as temporary, derivation.library():
        derived.save_as(temporary, enforce_file_format=True)
