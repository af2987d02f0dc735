"""DICOM Segmentations and Structured Reports, read back with pydicom and highdicom."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from radiodino.runtime.dicom.report import write_report
from radiodino.runtime.dicom.segmentation import PROPERTIES, write_segmentation
from radiodino.runtime.dicom.source_header import IDENTIFIERS
from radiodino.runtime.errors import (
    DicomSourceError,
    InputError,
    MissingExtraError,
    ModelFileError,
    OutputError,
    UnreadableImageError,
)
from radiodino.runtime.model_info import ClassifierInfo, LoadedInfo, Preprocessing, SegmenterInfo, Weights
from radiodino.runtime.notice import RESEARCH_USE
from radiodino.runtime.tasks.classification import Classification

highdicom = pytest.importorskip("highdicom", reason="DICOM outputs need the extra dicom")

SINGLE = ("CT_small", "MR_small", "MR_small_bigendian", "examples_rgb_color", "examples_palette", "SC_rgb_small_odd")
"""A CT, an MR, colour and palette ultrasound, a colour secondary capture of 3 × 3 pixels."""
IN_SPACE = ("CT_small", "MR_small")
CINE = "examples_ybr_color"
"""Thirty frames of ultrasound, colour, without a frame of reference."""
MARKER = "DOE^JANE^MARKER"


def path(name: str) -> Path:
    return Path(get_testdata_file(f"{name}.dcm", download=False))


def header(name: str) -> pydicom.Dataset:
    return pydicom.dcmread(path(name))


def stored(dataset: pydicom.Dataset) -> bytes:
    with pydicom.config.disable_value_validation():
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()


@pytest.fixture(scope="module")
def info() -> LoadedInfo:
    head = {"training_set": "BUSI", "metrics": {}}
    return LoadedInfo(
        variant="tiny",
        paper_name="Radio DINO tiny",
        task="classify+segment",
        precision="fp16",
        image_size=224,
        patch=16,
        embedding_size=192,
        position_interpolation="none",
        preprocessing=Preprocessing(),
        outputs=(),
        weights=Weights(kind="demo", name="demo", sha256="b" * 64, licence=None),
        notice="demonstration weights: not for clinical use",
        segmenter=SegmenterInfo(label="lesion", threshold=0.4, head="lite", name="s.pt", sha256="c" * 64, **head),
        classifier=ClassifierInfo(
            classes=("benign", "malignant"), temperature=1.0, thresholds=None, name="c.pt", sha256="d" * 64, **head
        ),
        file_sha256="a" * 64,
        backend="onnxruntime",
        backend_version="1.0",
        compute="fp32",
    )


@pytest.fixture(scope="module")
def enhanced() -> pydicom.Dataset:
    """Four real slices as one multi-frame MR with a frame of reference, a position for each frame."""
    slices = []
    for place in range(4):
        one = header("MR_small")
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.ImagePositionPatient = [-83.9063, -91.2, 6.6406 + 5 * place]
        one.InstanceNumber = place + 1
        del one.AcquisitionDate, one.AcquisitionTime  # older releases of highdicom trip over them
        slices.append(one)
    multi = highdicom.legacy.LegacyConvertedEnhancedMRImage(slices, generate_uid(), 5, generate_uid(), 1)
    return pydicom.dcmread(io.BytesIO(stored(multi)))


def some_mask(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) > 0.7


def result(label: str = "malignant", probabilities: tuple[float, ...] = (0.3, 0.7)) -> Classification:
    classes = ("benign", "malignant")
    return Classification(
        label=label,
        index=classes.index(label),
        classes=classes,
        probabilities=np.float32(probabilities),
        logits=np.float32([0, 1]),
        embedding=np.zeros(2, np.float32),
        decided_by="largest probability",
    )


def strictly(target: Path) -> pydicom.Dataset:
    """The file, every value of which is valid for its VR: its length, its characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pydicom.config.strict_reading():
            dataset = pydicom.dcmread(target)
            dataset.decode()
            for _ in dataset.iterall():
                pass
    return dataset


def source_items(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    return list(group.DerivationImageSequence[0].SourceImageSequence)


# Segmentations


@pytest.mark.parametrize("name", SINGLE)
def test_a_mask_of_one_frame_is_stored_beside_its_source(name, info, tmp_path):
    source, target = header(name), tmp_path / "mask.dcm"
    mask = some_mask((source.Rows, source.Columns))
    write_segmentation(path(name), {None: mask}, target, info=info)

    dataset = strictly(target)
    assert dataset.SOPClassUID == pydicom.uid.SegmentationStorage
    assert dataset.SegmentationType == "BINARY"
    np.testing.assert_array_equal(dataset.pixel_array.astype(bool), mask)
    for keyword in (*IDENTIFIERS, "StudyInstanceUID"):
        assert dataset[keyword].value == source.get(keyword, dataset[keyword].empty_value), keyword
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert dataset[keyword].value != source[keyword].value
    (item,) = source_items(dataset.PerFrameFunctionalGroupsSequence[0])
    assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert item.ReferencedSOPClassUID == source.SOPClassUID
    assert "ReferencedFrameNumber" not in item
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID

    read = highdicom.seg.segread(target)
    pixels = read.get_pixels_by_source_instance([source.SOPInstanceUID])
    np.testing.assert_array_equal(pixels[0, :, :, 0].astype(bool), mask)


@pytest.mark.parametrize("name", IN_SPACE)
def test_a_mask_lies_where_its_source_lies(name, info, tmp_path):
    source, target = header(name), tmp_path / "mask.dcm"
    write_segmentation(path(name), {None: some_mask((source.Rows, source.Columns))}, target, info=info)
    dataset = pydicom.dcmread(target)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    (frame,) = dataset.PerFrameFunctionalGroupsSequence
    assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert (dataset.Rows, dataset.Columns) == (source.Rows, source.Columns)
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == source.ImageOrientationPatient
    assert frame.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    assert shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
    assert shared.PixelMeasuresSequence[0].SliceThickness == source.SliceThickness


def test_a_cine_has_a_frame_for_each_mask_the_empty_one_too(info, tmp_path):
    source, target = header(CINE), tmp_path / "mask.dcm"
    shape = (source.Rows, source.Columns)
    masks = {9: some_mask(shape, 9), 2: some_mask(shape, 2), 5: np.zeros(shape, bool)}
    write_segmentation(path(CINE), masks, target, info=info)
    dataset = strictly(target)
    assert dataset.NumberOfFrames == 3
    assert "FrameOfReferenceUID" not in dataset
    groups = dataset.PerFrameFunctionalGroupsSequence
    assert [source_items(group)[0].ReferencedFrameNumber for group in groups] == [2, 5, 9]
    assert [group.FrameContentSequence[0].InStackPositionNumber for group in groups] == [1, 2, 3]
    assert [list(group.FrameContentSequence[0].DimensionIndexValues) for group in groups] == [[1, 1], [1, 2], [1, 3]]
    assert len(dataset.DimensionIndexSequence) == 2
    read = highdicom.seg.segread(target)
    pixels = read.get_pixels_by_source_frame(source.SOPInstanceUID, [2, 5, 9])
    for index, number in enumerate((2, 5, 9)):
        np.testing.assert_array_equal(pixels[index, :, :, 0].astype(bool), masks[number])
    assert "2 of 3 frame(s) looked at" in dataset.SegmentSequence[0].SegmentDescription


def test_one_frame_of_a_cine_is_referred_to_by_its_number(info, tmp_path):
    source, target = header(CINE), tmp_path / "mask.dcm"
    mask = some_mask((source.Rows, source.Columns))
    write_segmentation(path(CINE), {30: mask}, target, info=info)
    dataset = strictly(target)
    assert [source_items(group)[0].ReferencedFrameNumber for group in dataset.PerFrameFunctionalGroupsSequence] == [30]
    np.testing.assert_array_equal(dataset.pixel_array.astype(bool), mask)


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (4, 2), (3,)])
def test_frames_in_space_keep_their_own_positions(enhanced, numbers, info, tmp_path):
    target = tmp_path / "mask.dcm"
    masks = {number: some_mask((enhanced.Rows, enhanced.Columns), number) for number in numbers}
    write_segmentation(stored(enhanced), masks, target, info=info)
    dataset = strictly(target)
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    assert sorted(source_items(group)[0].ReferencedFrameNumber for group in groups) == sorted(numbers)
    assert dataset.FrameOfReferenceUID == enhanced.FrameOfReferenceUID
    for pixels, group in zip(dataset.pixel_array.reshape(len(numbers), 64, 64), groups, strict=True):
        number = int(source_items(group)[0].ReferencedFrameNumber)
        np.testing.assert_array_equal(pixels.astype(bool), masks[number])
        own = enhanced.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0].ImagePositionPatient
        assert group.PlanePositionSequence[0].ImagePositionPatient == own
    read = highdicom.seg.segread(target)
    pixels = read.get_pixels_by_source_frame(enhanced.SOPInstanceUID, sorted(numbers))
    for index, number in enumerate(sorted(numbers)):
        np.testing.assert_array_equal(pixels[index, :, :, 0].astype(bool), masks[number])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    count=st.integers(1, 4),
    fractional=st.booleans(),
    seed=st.integers(0, 99),
)
def test_masks_of_any_size_come_back_bit_by_bit(rows, columns, count, fractional, seed, info, tmp_path):
    source = header(CINE)
    source.Rows, source.Columns, source.NumberOfFrames = rows, columns, count
    random = np.random.default_rng(seed)
    frames = random.random((count, rows, columns))
    given_frames = frames.astype(np.float32) if fractional else frames > 0.5
    masks = {index + 1: frame for index, frame in enumerate(given_frames)}
    target = tmp_path / "mask.dcm"
    write_segmentation(stored(source), masks, target, info=info, force=True)
    dataset = strictly(target)
    assert dataset.SegmentationType == ("FRACTIONAL" if fractional else "BINARY")
    read = dataset.pixel_array.reshape(count, rows, columns)
    np.testing.assert_array_equal(read, np.rint(given_frames * 255) if fractional else given_frames)
    assert len(dataset.PixelData) % 2 == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("name", ["CT_small", CINE])
def test_probabilities_are_stored_as_such(name, dtype, info, tmp_path):
    source, target = header(name), tmp_path / "mask.dcm"
    frame = np.linspace(0, 1, source.Rows * source.Columns).astype(dtype).reshape(source.Rows, source.Columns)
    number = 1 if name == CINE else None
    write_segmentation(path(name), {number: frame}, target, info=info)
    dataset = strictly(target)
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert np.abs(dataset.pixel_array / dataset.MaximumFractionalValue - frame).max() <= 1 / 510 + 1e-6
    algorithm = dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert "threshold" not in algorithm.AlgorithmParameters


@pytest.mark.parametrize("name", ["CT_small", "examples_rgb_color"])
def test_an_image_without_a_lesion_has_an_empty_frame_that_says_so(name, info, tmp_path):
    source, target = header(name), tmp_path / "mask.dcm"
    write_segmentation(path(name), {1: np.zeros((source.Rows, source.Columns), bool)}, target, info=info)
    dataset = strictly(target)
    assert dataset.NumberOfFrames == 1
    assert not dataset.pixel_array.any()
    assert "0 of 1 frame(s) looked at" in dataset.SegmentSequence[0].SegmentDescription
    assert not highdicom.seg.segread(target).get_pixels_by_source_instance([source.SOPInstanceUID]).any()


def test_it_says_what_made_it_and_what_it_must_not_be_used_for(info, tmp_path):
    target = tmp_path / "mask.dcm"
    write_segmentation(path("CT_small"), {None: some_mask((128, 128))}, target, info=info)
    dataset = strictly(target)
    assert dataset.SeriesDescription == f"RadioDINO segmentation - {RESEARCH_USE}"
    assert dataset.ContentDescription == RESEARCH_USE
    for said in (RESEARCH_USE.capitalize(), info.notice, info.file_sha256, "BUSI", "radiodino tiny"):
        assert said in dataset.ImageComments
    (segment,) = dataset.SegmentSequence
    assert segment.SegmentLabel == "lesion"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "radiodino tiny"
    assert info.file_sha256 in algorithm.AlgorithmParameters
    assert "threshold=0.4" in algorithm.AlgorithmParameters
    assert dataset.DeviceSerialNumber == info.file_sha256


def test_a_label_without_a_code_claims_no_abnormality(info, tmp_path):
    target = tmp_path / "mask.dcm"
    write_segmentation(path("CT_small"), {None: some_mask((128, 128))}, target, info=info, label="left lung")
    (segment,) = pydicom.dcmread(target).SegmentSequence
    assert segment.SegmentLabel == "left lung"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Selected region"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Spatial and Relational Concept"


def test_the_codes_are_those_of_the_standard():
    from pydicom.sr.codedict import codes

    types = {getattr(codes.cid7151, name).value for name in codes.cid7151.dir()}
    for _, kind in PROPERTIES.values():
        assert kind[0] in types | {codes.SCT.Mass.value, codes.SCT.Nodule.value, codes.SCT.Neoplasm.value}


def test_spacing_without_thickness_is_left_to_the_source(info, tmp_path):
    source = header("examples_rgb_color")
    source.PixelSpacing = [0.2, 0.3]
    target = tmp_path / "mask.dcm"
    masks = {None: some_mask((source.Rows, source.Columns))}
    write_segmentation(stored(source), masks, target, info=info)
    assert "PixelMeasuresSequence" not in pydicom.dcmread(target).SharedFunctionalGroupsSequence[0]
    highdicom.seg.segread(target)
    source.SliceThickness = 2
    write_segmentation(stored(source), masks, target, info=info, force=True)
    (measures,) = pydicom.dcmread(target).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert (list(measures.PixelSpacing), measures.SliceThickness) == ([0.2, 0.3], 2)
    highdicom.seg.segread(target)


# What the source's header holds


@pytest.mark.parametrize("write", ["segmentation", "report"])
def test_identifiers_are_taken_over_as_they_are_and_never_quoted(write, info, tmp_path, recwarn, caplog):
    caplog.set_level(logging.DEBUG)
    source = header("CT_small")
    with pydicom.config.disable_value_validation():
        source.PatientID = f"{MARKER}{'9' * 70}"  # too long for its VR
        source.PatientName = "MARKER"  # of one component, of which highdicom warns
        source.PatientSex = "MARKER"  # no defined value
        source.PatientBirthDate = "19MARKER"  # no date
    data, target = stored(source), tmp_path / "derived.dcm"
    before = (pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode)
    recwarn.clear()
    _write(write, data, target, info)
    assert (
        pydicom.config.settings.reading_validation_mode,
        pydicom.config.settings.writing_validation_mode,
    ) == before
    assert not [warning for warning in recwarn if "MARKER" in str(warning.message)]
    assert "MARKER" not in caplog.text
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(target)
        for keyword in ("PatientID", "PatientName", "PatientSex", "PatientBirthDate"):
            assert dataset[keyword].value == source[keyword].value


def _write(kind: str, source, target: Path, info: LoadedInfo, *, number=None, force=False) -> None:
    if kind == "report":
        write_report(source, {number: result()}, target, info=info, force=force)
        return
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with pydicom.config.disable_value_validation():
            found = pydicom.dcmread(stream, stop_before_pixels=True)
        shape = (int(found.get("Rows", 1)), int(found.get("Columns", 1)))
    except Exception:  # no DICOM at all: that is what is tested
        shape = (1, 1)
    write_segmentation(source, {number: some_mask(shape)}, target, info=info, force=force)


@pytest.mark.parametrize("write", ["segmentation", "report"])
@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "Müller^Jürgen"), ("ISO 2022 IR 87", "Yamada^Tarou=山田^太郎")]
)
@pytest.mark.parametrize("label", ["lesion", "Läsion"])
def test_names_and_labels_of_any_script_stay_readable(write, charset, name, label, info, tmp_path):
    source = header("CT_small")
    source.SpecificCharacterSet = ["", charset] if "2022" in charset else charset
    source.PatientName = name
    head = replace(info.classifier, classes=(label, "malignant"))
    labelled = replace(info, segmenter=replace(info.segmenter, label=label), classifier=head)
    target = tmp_path / "derived.dcm"
    if write == "report":
        said = replace(result("malignant"), classes=head.classes)
        write_report(stored(source), {None: said}, target, info=labelled)
    else:
        _write(write, stored(source), target, labelled)
    dataset = strictly(target)
    assert str(dataset.PatientName).split("=")[:2] == name.split("=")[:2]
    texts = [str(element.value) for element in dataset.iterall() if element.VR in ("LO", "UT", "LT", "PN")]
    assert any(label in text for text in texts)
    if label == "lesion":
        assert dataset.SpecificCharacterSet == source.SpecificCharacterSet


@pytest.mark.parametrize("write", ["segmentation", "report"])
def test_a_name_that_is_not_in_its_character_set_is_not_replaced_silently(write, info, tmp_path):
    source = header("CT_small")
    source.SpecificCharacterSet, source.PatientName = "ISO_IR 100", "Müller^Jürgen"
    data = stored(source).replace(b"ISO_IR 100", b"ISO_IR 192")
    with pytest.warns(UserWarning, match="decode"), pytest.raises(DicomSourceError, match="character set"):
        _write(write, data, tmp_path / "derived.dcm", info)


@pytest.mark.parametrize("write", ["segmentation", "report"])
def test_a_header_without_patient_and_study_attributes_yields_empty_ones(write, info, tmp_path):
    source = header("CT_small")
    for keyword in IDENTIFIERS:
        if keyword in source:
            del source[keyword]
    _write(write, stored(source), tmp_path / "derived.dcm", info)
    dataset = strictly(tmp_path / "derived.dcm")
    assert all(dataset[keyword].is_empty for keyword in IDENTIFIERS)


# Refusals


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("693_J2KI", "no FrameOfReferenceUID"),
        ("rtdose", "position of each of its frames"),
        ("rtdose_1frame", "no SliceThickness"),
        ("liver_1frame", "highdicom refuses its header"),
        ("JPEGLSNearLossless_08", "no StudyInstanceUID, SeriesInstanceUID"),
        ("rtplan", "it is no image"),
    ],
)
def test_a_source_that_allows_no_segmentation_is_named_with_the_cure(name, reason, info, tmp_path):
    target = tmp_path / "mask.dcm"
    number = 1 if name == "rtdose" else None
    with pytest.raises(DicomSourceError) as caught:
        _write("segmentation", path(name), target, info, number=number)
    assert reason in str(caught.value)
    assert str(path(name)) in str(caught.value)
    assert "write its masks as PNG instead" in str(caught.value)
    assert isinstance(caught.value, OutputError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", ["segmentation", "report"])
@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08", "rtplan"])
def test_nothing_is_made_of_what_cannot_be_referred_to(write, name, info, tmp_path):
    with pytest.raises(DicomSourceError):
        _write(write, path(name), tmp_path / "derived.dcm", info)
    assert not list(tmp_path.iterdir())


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("write", ["segmentation", "report"])
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (picture(), "no DICOM file"),
        (path("badVR"), "damaged"),
        (b"", "empty"),
        (Path("/nowhere/scan.dcm"), "no such file"),
    ],
)
def test_what_is_no_dicom_is_unreadable(write, source, reason, info, tmp_path):
    with pytest.raises(UnreadableImageError, match=reason):
        _write(write, source, tmp_path / "derived.dcm", info)


def test_a_number_of_frames_that_is_none_is_damage(info, tmp_path):
    source = header("CT_small")
    source.NumberOfFrames = -1
    with pytest.raises(UnreadableImageError, match="NumberOfFrames"):
        _write("segmentation", stored(source), tmp_path / "mask.dcm", info)


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        ({}, "1 to 1"),
        ({2: some_mask((128, 128))}, "1 to 1"),
        ({"1": some_mask((128, 128))}, "1 to 1"),
        ({None: some_mask((128, 128)), 1: some_mask((128, 128))}, "two masks"),
        ({None: some_mask((64, 64))}, r"\(128, 128\)"),
        ({None: [[True]]}, r"\(128, 128\)"),
        ({None: np.zeros((128, 128), np.uint8)}, "bool"),
        ({None: np.full((128, 128), 1.5)}, "within 0 and 1"),
        ({None: np.full((128, 128), np.nan)}, "within 0 and 1"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, reason, info, tmp_path):
    with pytest.raises(InputError, match=reason):
        write_segmentation(path("CT_small"), masks, tmp_path / "mask.dcm", info=info)
    assert not list(tmp_path.iterdir())


def test_masks_of_both_kinds_are_refused(info, tmp_path):
    source = header(CINE)
    masks = {1: some_mask((source.Rows, source.Columns)), 2: np.zeros((source.Rows, source.Columns))}
    with pytest.raises(InputError, match="all be bool"):
        write_segmentation(path(CINE), masks, tmp_path / "mask.dcm", info=info)


def test_several_frames_need_numbers(info, tmp_path):
    with pytest.raises(InputError, match="1 to 30"):
        write_report(path(CINE), {None: result()}, tmp_path / "report.dcm", info=info)


@pytest.mark.parametrize("label", ["", "x" * 65, "a\\b", "a\nb"])
def test_a_label_that_dicom_cannot_hold_is_refused(label, info, tmp_path):
    with pytest.raises(InputError, match="label of a segment"):
        write_segmentation(path("CT_small"), {None: some_mask((128, 128))}, tmp_path / "m.dcm", info=info, label=label)


@pytest.mark.parametrize("write", ["segmentation", "report"])
def test_a_file_is_replaced_only_by_force(write, info, tmp_path):
    target = tmp_path / "derived.dcm"
    target.write_bytes(b"mine")
    with pytest.raises(OutputError, match="--force"):
        _write(write, path("CT_small"), target, info)
    assert target.read_bytes() == b"mine"
    _write(write, path("CT_small"), target, info, force=True)
    strictly(target)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", ["segmentation", "report"])
def test_the_extra_is_named_where_highdicom_is_absent(write, info, tmp_path, monkeypatch):
    monkeypatch.setattr("radiodino.runtime.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="highdicom") as caught:
        _write(write, path("CT_small"), tmp_path / "derived.dcm", info)
    assert caught.value.extra == "dicom"


@pytest.mark.parametrize("write", ["segmentation", "report"])
def test_a_model_without_the_head_is_refused(write, info, tmp_path):
    with pytest.raises(ModelFileError):
        _write(
            write, path("CT_small"), tmp_path / "d.dcm", replace(info, segmenter=None, classifier=None, task="embed")
        )


# Reports


def text_values(report) -> str:
    return "\n".join(str(e.value) for e in report.iterall() if e.keyword == "TextValue")


@pytest.mark.parametrize("name", SINGLE)
def test_a_report_holds_class_and_probabilities(name, info, tmp_path):
    source, target = header(name), tmp_path / "report.dcm"
    write_report(path(name), {None: result()}, target, info=info)
    dataset = strictly(target)
    assert dataset.SOPClassUID == pydicom.uid.ComprehensiveSRStorage
    for keyword in (*IDENTIFIERS, "StudyInstanceUID"):
        assert dataset[keyword].value == source.get(keyword, dataset[keyword].empty_value), keyword
    assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID

    (group,) = highdicom.sr.srread(target).content.get_image_measurement_groups()
    (evaluation,) = group.get_qualitative_evaluations()
    assert evaluation.value.meaning == "malignant"
    assert RESEARCH_USE in evaluation.name.meaning
    numbers = {measurement.name.meaning: measurement for measurement in group.get_measurements()}
    assert {name: measurement.value for name, measurement in numbers.items()} == {
        "Probability of benign": float(np.float32(0.3)),
        "Probability of malignant": float(np.float32(0.7)),
    }
    assert {measurement.unit.value for measurement in numbers.values()} == {"1"}
    (image,) = group.source_images
    assert image.referenced_sop_instance_uid == source.SOPInstanceUID
    assert image.referenced_frame_numbers is None


def test_a_report_of_frames_refers_to_each(info, tmp_path):
    target = tmp_path / "report.dcm"
    write_report(path(CINE), {7: result("benign", (0.9, 0.1)), 3: result()}, target, info=info)
    groups = highdicom.sr.srread(target).content.get_image_measurement_groups()
    found = {
        group.source_images[0].referenced_frame_numbers[0]: group.get_qualitative_evaluations()[0].value.meaning
        for group in groups
    }
    assert found == {3: "malignant", 7: "benign"}


def test_a_report_says_what_made_it_and_what_it_must_not_be_used_for(info, tmp_path):
    target = tmp_path / "report.dcm"
    write_report(path("CT_small"), {None: result()}, target, info=info)
    dataset = strictly(target)
    said = text_values(dataset)
    assert dataset.SeriesDescription == f"RadioDINO classes - {RESEARCH_USE}"
    for expected in (
        RESEARCH_USE.capitalize(),
        info.notice,
        info.file_sha256,
        "BUSI",
        "radiodino tiny",
        "decided_by=largest probability",
    ):
        assert expected in said


def test_a_class_has_the_same_code_in_every_report(info, tmp_path):
    codes = []
    for index, probabilities in enumerate([(0.2, 0.8), (0.4, 0.6)]):
        target = tmp_path / f"{index}.dcm"
        write_report(path("CT_small"), {None: result("malignant", probabilities)}, target, info=info)
        (group,) = highdicom.sr.srread(target).content.get_image_measurement_groups()
        codes.append(group.get_qualitative_evaluations()[0].value.value)
    assert codes[0] == codes[1]
    assert len(codes[0]) <= 16


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (replace(result(), classes=("a", "b")), "2 classes"),
        (replace(result(), probabilities=np.float32([1.0])), "2 classes"),
        (result("malignant", (-0.1, 1.1)), "within 0 and 1"),
        (result("malignant", (np.nan, 1.0)), "within 0 and 1"),
    ],
)
def test_results_that_do_not_fit_are_refused(wrong, reason, info, tmp_path):
    with pytest.raises(InputError, match=reason):
        write_report(path("CT_small"), {None: wrong}, tmp_path / "report.dcm", info=info)
    assert not list(tmp_path.iterdir())


def test_a_class_name_that_dicom_cannot_hold_is_refused(info, tmp_path):
    classes = ("benign", "m" * 60)
    head = replace(info.classifier, classes=classes)
    with pytest.raises(InputError, match="name of a class"):
        write_report(
            path("CT_small"),
            {None: replace(result("benign"), classes=classes)},
            tmp_path / "report.dcm",
            info=replace(info, classifier=head),
        )


def test_highdicom_is_loaded_only_where_something_is_written():
    code = (
        "import sys, radiodino.runtime.dicom.report, radiodino.runtime.dicom.segmentation; "
        "print('highdicom' in sys.modules, 'pydicom' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["False", "False"]
