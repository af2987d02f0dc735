"""Masks as a DICOM Segmentation (PS3.3 A.51), beside the image that they were computed from."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..model_info import LoadedInfo, SegmenterInfo
from ..notice import RESEARCH_USE, marked
from ..source import ByteSource
from ..tasks.heads import segmenter_of
from .provenance import (
    MANUFACTURER,
    algorithm_name,
    fitting,
    parameters,
    software_version,
    statement,
)
from .source_header import (
    Derivation,
    add_identifiers,
    altered,
    by_frame_number,
    deriving,
    number_of_frames,
    read_source_header,
    write_derived,
)

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_DESCRIPTION = f"RadioDINO segmentation - {RESEARCH_USE}"
SERIES_NUMBER = 9001
"""High, for viewers to list it after the acquired series."""

_ABNORMAL = ("49755003", "SCT", "Morphologically Abnormal Structure")
PROPERTIES = {
    "lesion": (_ABNORMAL, ("52988006", "SCT", "Lesion")),
    "mass": (_ABNORMAL, ("4147007", "SCT", "Mass")),
    "nodule": (_ABNORMAL, ("27925004", "SCT", "Nodule")),
    "neoplasm": (_ABNORMAL, ("108369006", "SCT", "Neoplasm")),
    "tumor": (_ABNORMAL, ("108369006", "SCT", "Neoplasm")),
    "tumour": (_ABNORMAL, ("108369006", "SCT", "Neoplasm")),
}
"""Category and type of the segmented property by the label of the mask, from PS3.16 CID 7150 and CID 7151."""
OTHER_PROPERTY = (("309825002", "SCT", "Spatial and Relational Concept"), ("111099", "DCM", "Selected region"))
"""Of any other label, of which no code can say what it means; the label itself is in the segment."""

_CURE = "write its masks as PNG instead"


def write_segmentation(
    source: ByteSource,
    masks: Mapping[int | None, NDArray[Any]],
    target: str | os.PathLike[str],
    *,
    info: LoadedInfo,
    label: str | None = None,
    force: bool = False,
) -> None:
    """Write the masks of one DICOM image as one DICOM Segmentation of one segment.

    It carries the source's patient and study, refers to the source and to each frame that has a mask, and takes over
    its frame of reference, orientations, positions and pixel spacing as far as it states them; without a frame of
    reference, the spacing only beside a slice thickness (`_set_measures` says why). Series and instance are new. Each
    mask is a frame, the empty ones too: a frame of the source that is not there was not looked at.

    Grey and colour images, of one frame or several, with or without a frame of reference can be sources.

    Args:
        source: the DICOM file: a path, its bytes, or a binary stream.
        masks: by frame number, counted from 1, or None (or 1) for the only frame of a file; each of shape (Rows,
            Columns) of the source. All bool: written as ``BINARY``. All floating, probabilities within 0..1: written
            as ``FRACTIONAL`` (``PROBABILITY``), rounded to 1/255.
        target: the file to write.
        info: of the model that computed them, with its segmentation head.
        label: what the mask marks; the head's own label where None.
        force: replace an existing `target`.

    Raises:
        MissingExtraError: where highdicom is not installed (extra ``dicom``).
        UnreadableImageError: where `source` cannot be read as DICOM.
        DicomSourceError: where DICOM does not allow a segmentation of `source`, or highdicom cannot make one.
        ModelFileError: where the model has no segmentation head.
        InputError: where the masks do not fit the source, are neither bool nor probabilities, or a text is too long
            for DICOM.
        OutputError: where `target` exists and `force` is not set, or cannot be written.
    """
    head = segmenter_of(info)
    label = fitting(head.label if label is None else label, "LO", "the label of a segment")
    with deriving("DICOM segmentation", _CURE, source) as derivation:
        header = read_source_header(source, derivation)
        frames = _checked(masks, header)
        segmentation = _segmentation(header, frames, info, head, label, derivation)
        add_identifiers(segmentation, header, (label, statement(info, head)), derivation)
        write_derived(segmentation, Path(target), derivation, force=force)


def _checked(masks: Mapping[int | None, NDArray[Any]], header: Dataset) -> dict[int, NDArray[Any]]:
    """The masks by frame number in order.

    Raises:
        InputError: where they do not fit the image, or one another.
    """
    shape = (int(header.Rows), int(header.Columns))
    by_number = by_frame_number(masks, number_of_frames(header), "masks")
    for mask in by_number.values():
        if not isinstance(mask, np.ndarray) or mask.shape != shape:
            raise InputError(f"a mask must be an array of shape {shape} as the source is, but found {np.shape(mask)}")
    kinds = {mask.dtype.kind for mask in by_number.values()}
    if kinds not in ({"b"}, {"f"}):
        raise InputError("masks must all be bool, or all be floating-point probabilities")
    if kinds == {"f"} and not all(bool((mask >= 0).all() and (mask <= 1).all()) for mask in by_number.values()):
        raise InputError("probabilities of a mask must lie within 0 and 1")
    return by_number


def _segmentation(
    header: Dataset,
    frames: dict[int, NDArray[Any]],
    info: LoadedInfo,
    head: SegmenterInfo,
    label: str,
    derivation: Derivation,
) -> Any:
    from highdicom import UID
    from highdicom.seg import Segmentation
    from highdicom.spatial import get_image_coordinate_system

    numbers, pixels = list(frames), np.stack(list(frames.values()))
    pixels = pixels.astype(np.float32) if pixels.dtype.kind == "f" else pixels  # highdicom takes no float16
    with derivation.library():
        has_position = get_image_coordinate_system(header) is not None
    _refuse_incomplete(header, has_position, derivation)
    segment = _segment(frames, info, head, label)
    with derivation.library():
        segmentation = Segmentation(
            source_images=[_selection(header, numbers) if has_position else _unpositioned(header)],
            pixel_array=pixels if has_position else pixels[:1],
            segmentation_type="FRACTIONAL" if pixels.dtype.kind == "f" else "BINARY",
            segment_descriptions=[segment],
            series_instance_uid=UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm_name(info),
            software_versions=software_version(),
            device_serial_number=fitting(info.file_sha256, "LO", "the SHA-256 of the file"),
            series_description=SERIES_DESCRIPTION,
            content_label="RADIODINO_SEG",
            content_description=RESEARCH_USE,
            omit_empty_frames=False,
        )
    if not has_position:
        _complete_unpositioned(segmentation, header, pixels)
    if number_of_frames(header) > 1:
        for group in segmentation.PerFrameFunctionalGroupsSequence:
            for item in group.DerivationImageSequence[0].SourceImageSequence:
                item.ReferencedFrameNumber = numbers[int(item.ReferencedFrameNumber) - 1]
    segmentation.ImageComments = statement(info, head)
    return segmentation


def _refuse_incomplete(header: Dataset, has_position: bool, derivation: Derivation) -> None:
    """Say what is missing from a header that states a place in space, but not all that DICOM then asks for."""
    frames = number_of_frames(header)
    if not has_position and header.get("ImagePositionPatient"):
        raise derivation.impossible("it states a position, but no FrameOfReferenceUID that the position refers to")
    if has_position and frames > 1 and len(header.get("PerFrameFunctionalGroupsSequence") or ()) < frames:
        raise derivation.impossible("it does not state the position of each of its frames")
    if has_position and "PixelMeasuresSequence" not in _shared(header) and not header.get("SliceThickness"):
        raise derivation.impossible("it states no SliceThickness, which a segmentation with a place in space needs")


def _selection(header: Dataset, numbers: list[int]) -> Dataset:
    """The header as if the image had only the frames `numbers`."""
    if number_of_frames(header) == 1:
        return altered(header)
    groups = header.PerFrameFunctionalGroupsSequence
    chosen = [groups[number - 1] for number in numbers]
    return altered(header, PerFrameFunctionalGroupsSequence=chosen, NumberOfFrames=len(numbers))


def _unpositioned(header: Dataset) -> Dataset:
    """The header as if the image had one frame, with the functional groups that highdicom seeks in vain in a cine."""
    from pydicom import Dataset

    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    return altered(header, NumberOfFrames=1, SharedFunctionalGroupsSequence=[shared])


def _complete_unpositioned(segmentation: Any, header: Dataset, pixels: NDArray[Any]) -> None:
    """Let a segmentation of the first of several frames without a place in space hold them all.

    highdicom takes one such frame only, DICOM as many as the source has: places are required only with a frame of
    reference (PS3.3 A.51.5). The frames differ by their place in one stack instead.

    Args:
        segmentation: of the first frame; changed.
        header: of the source.
        pixels: the masks, shape (frames, Rows, Columns). The references number these frames, from 1.
    """
    _set_measures(segmentation.SharedFunctionalGroupsSequence[0], header)
    segmentation.PatientOrientation = header.get("PatientOrientation")  # type 2C: needed where no orientation is
    if number_of_frames(header) == 1:
        return
    stack = copy.deepcopy(segmentation.DimensionIndexSequence[0])
    stack.DimensionIndexPointer = 0x00209057  # In-Stack Position Number
    stack.FunctionalGroupPointer = 0x00209111  # Frame Content Sequence
    stack.DimensionDescriptionLabel = "In-Stack Position Number"
    segmentation.DimensionIndexSequence.append(stack)
    first = segmentation.PerFrameFunctionalGroupsSequence[0]
    groups = []
    for place in range(1, len(pixels) + 1):
        group = copy.deepcopy(first)
        content = group.FrameContentSequence[0]
        content.StackID, content.InStackPositionNumber = "1", place
        content.DimensionIndexValues = [1, place]
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = place
        groups.append(group)
    segmentation.PerFrameFunctionalGroupsSequence = groups
    segmentation.NumberOfFrames = len(pixels)
    if pixels.dtype.kind == "f":
        data = np.rint(pixels * float(segmentation.MaximumFractionalValue)).astype(np.uint8).tobytes()
    else:  # one bit a pixel, frames without padding between them (PS3.5 8.1.1)
        data = np.packbits(pixels, axis=None, bitorder="little").tobytes()
    segmentation.PixelData = data + b"\0" * (len(data) % 2)


def _shared(header: Dataset) -> Dataset:
    """The functional groups that all frames share; empty where there are none."""
    from pydicom import Dataset

    return next(iter(header.get("SharedFunctionalGroupsSequence") or ()), Dataset())


def _set_measures(shared: Dataset, header: Dataset) -> None:
    """Spacing and thickness as the source states them, or neither.

    Without a frame of reference DICOM does not ask for them, and readers built on highdicom refuse the one without the
    other.
    """
    from pydicom import Dataset

    places = [*_shared(header).get("PixelMeasuresSequence", []), header]
    stated = next((place for place in places if place.get("PixelSpacing") and place.get("SliceThickness")), None)
    shared.pop("PixelMeasuresSequence", None)
    if stated is not None:
        item = Dataset()
        item.PixelSpacing, item.SliceThickness = stated.PixelSpacing, stated.SliceThickness
        shared.PixelMeasuresSequence = [item]


def _segment(frames: dict[int, NDArray[Any]], info: LoadedInfo, head: SegmenterInfo, label: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.coding import Code

    fractional = next(iter(frames.values())).dtype.kind == "f"
    category, kind = PROPERTIES.get(label.strip().lower(), OTHER_PROPERTY)
    settings = {**parameters(info, head), **({} if fractional else {"threshold": str(head.threshold)})}
    segment = SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=Code(*category),
        segmented_property_type=Code(*kind),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm_name(info),
            family=Code("123110", "DCM", "Artificial Intelligence"),
            version=software_version(),
            source=MANUFACTURER,
            parameters=settings,
        ),
    )
    found = sum(bool(mask.any()) for mask in frames.values())
    said = (
        f"the probability of each pixel, in {len(frames)} frame(s) looked at"
        if fractional
        else f"pixels of a probability of {head.threshold} or more, in {found} of {len(frames)} frame(s) looked at"
    )
    segment.SegmentDescription = fitting(marked(said), "ST", "the description of a segment")
    return segment
