"""Classes and their probabilities as a DICOM Structured Report (PS3.16 TID 1500), beside the image they are of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..model_info import ClassifierInfo, LoadedInfo
from ..notice import RESEARCH_USE
from ..source import ByteSource
from ..tasks.classification import Classification
from ..tasks.heads import classifier_of
from .provenance import (
    CODING_SCHEME,
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

SERIES_DESCRIPTION = f"RadioDINO classes - {RESEARCH_USE}"
SERIES_NUMBER = 9002
"""High, for viewers to list it after the acquired series."""

_CURE = "write its classes as a table instead"
_CLASS_NAME = ("PREDICTED-CLASS", f"Predicted class, {RESEARCH_USE}")


def write_report(
    source: ByteSource,
    results: Mapping[int | None, Classification],
    target: str | os.PathLike[str],
    *,
    info: LoadedInfo,
    force: bool = False,
) -> None:
    """Write the classes of one DICOM image as one Comprehensive SR with the measurement report of TID 1500.

    For each frame it holds the class that is said (a code of this package's own scheme, for the classes of a model
    have no codes that could be known), the probability of every class (a number without unit, 0..1), and references
    to the source and the frame. The report is preliminary and unverified. It carries the source's patient and study,
    and says of the model what `radiodino.runtime.dicom.provenance` collects, with the mark "research use only, not for
    diagnosis" and the model's notice.

    Args:
        source: the DICOM file: a path, its bytes, or a binary stream.
        results: by frame number, counted from 1, or None (or 1) for the only frame of a file.
        target: the file to write.
        info: of the model that computed them, with its classification head.
        force: replace an existing `target`.

    Raises:
        MissingExtraError: where highdicom is not installed (extra ``dicom``).
        ModelFileError: where the model has no classification head.
        UnreadableImageError: where `source` cannot be read as DICOM.
        DicomSourceError: where highdicom cannot make a report of `source`.
        InputError: where the results fit neither the source nor the model, or a class name is too long for DICOM.
        OutputError: where `target` exists and `force` is not set, or cannot be written.
    """
    head = classifier_of(info)
    with deriving("DICOM report", _CURE, source) as derivation:
        header = read_source_header(source, derivation)
        frames = _checked(results, header, head)
        report = _report(header, frames, info, head, derivation)
        add_identifiers(report, header, (*head.classes, statement(info, head)), derivation)
        write_derived(report, Path(target), derivation, force=force)


def _checked(
    results: Mapping[int | None, Classification], header: Dataset, head: ClassifierInfo
) -> dict[int, Classification]:
    frames = by_frame_number(results, number_of_frames(header), "results")
    for result in frames.values():
        if result.classes != head.classes or len(result.probabilities) != len(head.classes):
            raise InputError(
                f"results must be of the model's {len(head.classes)} classes, but found {len(result.probabilities)} "
                f"probabilities of {len(result.classes)} classes"
            )
        if not bool(((result.probabilities >= 0) & (result.probabilities <= 1)).all()):
            raise InputError("the probability of a class must lie within 0 and 1")
    return frames


def _report(
    header: Dataset,
    frames: dict[int, Classification],
    info: LoadedInfo,
    head: ClassifierInfo,
    derivation: Derivation,
) -> Any:
    from highdicom import UID
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import (
        ComprehensiveSR,
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
        RelationshipTypeValues,
        TextContentItem,
    )
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    multiframe = number_of_frames(header) > 1
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[info.file_sha256]),  # the same for the same file
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=algorithm_name(info),
        serial_number=info.file_sha256,
    )
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=device
            )
        ),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[
            _group(header, number if multiframe else None, result, info, head) for number, result in frames.items()
        ],
    )
    content[0].ContentSequence.append(
        TextContentItem(
            name=codes.DCM.Comment, value=statement(info, head), relationship_type=RelationshipTypeValues.CONTAINS
        )
    )
    with derivation.library():
        return ComprehensiveSR(
            evidence=[altered(header)],
            content=content,
            series_instance_uid=UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm_name(info),
            software_versions=software_version(),
            device_serial_number=fitting(info.file_sha256, "LO", "the SHA-256 of the file"),
            series_description=SERIES_DESCRIPTION,
            is_complete=True,
            is_final=False,
            is_verified=False,
            coding_schemes=[CodingSchemeIdentificationItem(CODING_SCHEME, name=f"{MANUFACTURER} classes")],
        )


def _group(header: Dataset, frame: int | None, result: Classification, info: LoadedInfo, head: ClassifierInfo) -> Any:
    """The measurement group (TID 1501) of one frame."""
    from highdicom import UID
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    said = {**parameters(info, head), "training_set": head.training_set, "decided_by": result.decided_by}
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=UID(), identifier="image" if frame is None else f"frame {frame}"),
        algorithm_id=AlgorithmIdentification(
            name=algorithm_name(info),
            version=software_version(),
            parameters=[f"{name}={value}" for name, value in said.items() if value],
        ),
        source_images=[
            SourceImageForMeasurementGroup(
                header.SOPClassUID, header.SOPInstanceUID, None if frame is None else [frame]
            )
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(
                name=CodedConcept(_CLASS_NAME[0], CODING_SCHEME, _CLASS_NAME[1]),
                value=CodedConcept(_code("C", result.label), CODING_SCHEME, fitting(result.label, "LO", _A_CLASS)),
            )
        ],
        measurements=[
            Measurement(
                name=CodedConcept(_code("P", name), CODING_SCHEME, fitting(f"Probability of {name}", "LO", _A_CLASS)),
                value=float(probability),
                unit=codes.UCUM.NoUnits,
            )
            for name, probability in zip(head.classes, np.asarray(result.probabilities), strict=True)
        ],
    )


_A_CLASS = "the name of a class"


def _code(prefix: str, name: str) -> str:
    """A code of at most 16 characters that is the same for the same class name, whatever the model."""
    return f"{prefix}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
