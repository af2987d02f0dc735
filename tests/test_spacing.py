"""The distance between pixels: what DICOM states of it, and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from radiodino.runtime.decode import decode
from radiodino.runtime.dicom.spacing import (
    AT_DETECTOR,
    CONTRADICTION,
    DAMAGED,
    ON_FILM,
    OTHER_REGIONS,
    UNLIKE_REGIONS,
)
from radiodino.runtime.frame import Frame


def data_set(frames: int = 1, **elements) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = "1.2.3", "1.2.4"
    data.Rows, data.Columns, data.SamplesPerPixel = 3, 4, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    if frames > 1:
        data.NumberOfFrames = frames
    data.PixelData = bytes(12 * frames)
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def read(data: Dataset, syntax=ExplicitVRLittleEndian) -> list[Frame]:
    """The frames of a data set that was written to a file; those of the data set itself have the same spacing."""
    data.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    little = syntax != ExplicitVRBigEndian
    data.save_as(stream, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little, enforce_file_format=True)
    frames = list(decode(stream.getvalue()))
    for one, other in zip(frames, decode(data), strict=True):
        assert (one.spacing, one.spacing_notice) == (other.spacing, other.spacing_notice)
    return frames


def spacing(data: Dataset, syntax=ExplicitVRLittleEndian):
    (frame,) = read(data, syntax)
    return frame.spacing, frame.spacing_notice


def item(**elements) -> Dataset:
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def region(x=0.01, y=0.02, units=3, kind=1) -> Dataset:
    return item(
        RegionSpatialFormat=kind,
        PhysicalUnitsXDirection=units,
        PhysicalUnitsYDirection=units,
        PhysicalDeltaX=x,
        PhysicalDeltaY=y,
    )


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_rows_come_before_columns(syntax):
    assert spacing(data_set(PixelSpacing=[0.5, 0.25]), syntax) == ((0.5, 0.25), None)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_ultrasound_is_stated_in_cm_and_columns_first(syntax):
    found, notice = spacing(data_set(SequenceOfUltrasoundRegions=[region(0.01, 0.02)]), syntax)
    assert found == pytest.approx((0.2, 0.1))
    assert notice is None


def test_without_a_statement_there_is_none():
    assert spacing(data_set()) == (None, None)
    assert spacing(data_set(PixelSpacing=None)) == (None, None)


def test_a_real_ct_states_it():
    (frame,) = decode(get_testdata_file("CT_small.dcm", download=False))
    assert frame.spacing == (0.661468, 0.661468)
    assert frame.spacing_notice is None


@pytest.mark.parametrize(
    ("name", "notice"), [("ImagerPixelSpacing", AT_DETECTOR), ("NominalScannedPixelSpacing", ON_FILM)]
)
def test_what_was_measured_at_the_detector_says_so(name, notice):
    assert spacing(data_set(**{name: [0.2, 0.3]})) == ((0.2, 0.3), notice)
    assert spacing(data_set(**{name: [0.2, 0.3], "PixelSpacing": [0.2, 0.3]})) == ((0.2, 0.3), notice)
    assert spacing(data_set(**{name: [0.2, 0.3], "PixelSpacing": [0.1, 0.15]})) == ((0.1, 0.15), None)


def test_groups_of_a_frame_count_before_those_of_all():
    shared = item(PixelMeasuresSequence=[item(PixelSpacing=[1, 2])])
    data = data_set(2, PixelSpacing=[9, 9], SharedFunctionalGroupsSequence=[shared])
    assert [frame.spacing for frame in read(data)] == [(1, 2), (1, 2)]
    data.PerFrameFunctionalGroupsSequence = [item(PixelMeasuresSequence=[item(PixelSpacing=[3, 4])]), Dataset()]
    assert [frame.spacing for frame in read(data)] == [(3, 4), (1, 2)]


def test_colour_images_have_it_too():
    data = data_set(PixelSpacing=[0.5, 0.25], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    data.PixelData = bytes(36)
    assert spacing(data) == ((0.5, 0.25), None)


def test_several_regions_need_one_scale():
    alike = [region(0.01, 0.02), region(0.01, 0.02)]
    assert spacing(data_set(SequenceOfUltrasoundRegions=alike))[1] is None
    unlike = [region(0.01, 0.02), region(0.03, 0.02)]
    assert spacing(data_set(SequenceOfUltrasoundRegions=unlike)) == (None, UNLIKE_REGIONS)


@pytest.mark.parametrize("other", [region(units=4), region(kind=2), region(units=0)])
def test_a_region_of_another_kind_has_no_scale(other):
    assert spacing(data_set(SequenceOfUltrasoundRegions=[other])) == (None, None)
    found, notice = spacing(data_set(SequenceOfUltrasoundRegions=[region(0.01, 0.02), other]))
    assert found == pytest.approx((0.2, 0.1))
    assert notice == OTHER_REGIONS


def test_two_statements_must_agree():
    agreeing = data_set(PixelSpacing=[0.2, 0.1], SequenceOfUltrasoundRegions=[region(0.01, 0.02001)])
    assert spacing(agreeing) == ((0.2, 0.1), None)
    differing = data_set(PixelSpacing=[0.2, 0.2], SequenceOfUltrasoundRegions=[region(0.01, 0.02)])
    assert spacing(differing) == (None, CONTRADICTION)


def replaced(written: bytes, value: bytes) -> bytes:
    """A file whose PixelSpacing is `value`, which pydicom would not write."""
    tag = b"\x28\x00\x30\x00DS"
    before, after = written.split(tag)
    length = int.from_bytes(after[:2], "little")
    value += b" " * (len(value) % 2)
    return before + tag + len(value).to_bytes(2, "little") + value + after[2 + length :]


@pytest.mark.parametrize("text", [b"0\\1", b"-1\\1", b"1", b"1\\2\\3", b"x\\1", b"nan\\1", b"1e999\\1", b"DOE^JANE"])
def test_a_damaged_statement_gives_none_and_leaves_the_image(text):
    stream = io.BytesIO()
    data_set(PixelSpacing=[0.5, 0.25]).save_as(stream, enforce_file_format=True)
    (frame,) = decode(replaced(stream.getvalue(), text))
    assert (frame.spacing, frame.spacing_notice) == (None, DAMAGED)
    assert frame.image.size == (4, 3)
    assert frame.notice is None


@pytest.mark.parametrize("delta", [0.0, -0.01, float("nan"), float("inf"), None])
def test_a_damaged_region_gives_none(delta):
    assert spacing(data_set(SequenceOfUltrasoundRegions=[region(delta, 0.01)])) == (None, DAMAGED)


@settings(deadline=None, max_examples=50)
@given(text=st.binary(max_size=16).filter(lambda text: text.strip(b" \0")))
def test_any_bytes_give_two_positive_numbers_or_a_notice(text):
    stream = io.BytesIO()
    data_set(PixelSpacing=[0.5, 0.25]).save_as(stream, enforce_file_format=True)
    (frame,) = decode(replaced(stream.getvalue(), text))
    if frame.spacing is None:
        assert frame.spacing_notice == DAMAGED
    else:
        assert min(frame.spacing) > 0
        assert np.isfinite(frame.spacing).all()


def test_dots_per_inch_are_no_measurement():
    for kind in ("PNG", "JPEG", "TIFF"):
        stream = io.BytesIO()
        Image.new("L", (4, 3)).save(stream, kind, dpi=(254, 254))
        (frame,) = decode(stream.getvalue())
        assert (frame.spacing, frame.spacing_notice) == (None, None)


def test_every_file_of_pydicom_is_read_as_pydicom_reads_it():
    compared = 0
    for name in ("CT_small", "MR_small", "MR_small_bigendian", "MR_small_implicit", "examples_rgb_color", "693_J2KI"):
        path = get_testdata_file(f"{name}.dcm", download=False)
        stated = pydicom.dcmread(path, stop_before_pixels=True).get("PixelSpacing")
        if stated is not None:
            assert {frame.spacing for frame in decode(path)} == {tuple(map(float, stated))}
            compared += 1
    assert compared >= 4
