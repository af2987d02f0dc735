from __future__ import annotations

import io
import logging
import math
import re
import struct
import traceback
import warnings
import zlib
from fractions import Fraction

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space, get_decoder
from pydicom.pixels.encoders.base import get_encoder

from radiodino.runtime.dicom import file as dicom_file
from radiodino.runtime.dicom.elements import TAGS, reading
from radiodino.runtime.dicom.frames import COLOUR_SPACE, NO_WINDOW, NOT_WINDOWED, SURPLUS, dicom_frames
from radiodino.runtime.dicom.lookup import LookupTable, apply_window, expand_segments, extent, map_points, stretch
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.frame import Window
from radiodino.runtime.pixels import MAX_PIXELS

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
J2K = "1.2.840.10008.1.2.4.90"
MARKER = "DOE^JANE^MARKER"

VRS = {
    "PhotometricInterpretation": "CS",
    "VOILUTFunction": "CS",
    "NumberOfFrames": "IS",
    "WindowCenter": "DS",
    "WindowWidth": "DS",
    "RescaleSlope": "DS",
    "RescaleIntercept": "DS",
    "PixelSpacing": "DS",
    "LUTData": "OW",
    "ExtendedOffsetTable": "OV",
    "ExtendedOffsetTableLengths": "OV",
    **{f"{s}{c}PaletteColorLookupTableData": "OW" for s in ("", "Segmented") for c in ("Red", "Green", "Blue")},
}
PIXELS = {
    "PixelData": (0x7FE00010, "OW"),
    "FloatPixelData": (0x7FE00008, "OF"),
    "DoubleFloatPixelData": (0x7FE00009, "OD"),
}
LONG = ("OB", "OD", "OF", "OV", "OW", "SQ", "UN")


# A small writer, independent of pydicom, that can also write what pydicom refuses to write.


def element(tag: int, vr: str, value: bytes, syntax: str = EXPLICIT) -> bytes:
    endian = ">" if syntax == BIG else "<"
    if isinstance(value, bytes):  # a bytearray may be of odd length, against the standard
        value += (b" " if vr in ("CS", "DS", "IS", "PN", "LO") else b"\0") * (len(value) % 2)
    head = struct.pack(f"{endian}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<L", len(value)) + value
    if vr in LONG:
        return head + vr.encode() + b"\0\0" + struct.pack(f"{endian}L", len(value)) + value
    return head + vr.encode() + struct.pack(f"{endian}H", len(value)) + value


def encoded(vr: str, value: object, syntax: str) -> bytes:
    if isinstance(value, bytes | bytearray):
        return value
    values = value if isinstance(value, list | tuple) else [value]
    if vr in ("US", "SS"):
        return b"".join(struct.pack(("<" if syntax != BIG else ">") + "H", number & 0xFFFF) for number in values)
    return "\\".join(str(number) for number in values).encode()


def data_set(elements: dict[str, object], syntax: str = EXPLICIT) -> bytes:
    """Elements by keyword: a value, a (VR, value) pair, or for a sequence a list of such dictionaries."""
    parts = {}
    for name, value in elements.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            item = b"".join(
                struct.pack("<HHL" if syntax != BIG else ">HHL", 0xFFFE, 0xE000, len(inner)) + inner
                for inner in (data_set(entry, syntax) for entry in value)
            )
            parts[TAGS[name]] = element(TAGS[name], "SQ", item, syntax)
        elif value is not None:
            tag, vr = PIXELS.get(name) or (TAGS[name], VRS.get(name, "US"))
            vr, value = value if isinstance(value, tuple) and isinstance(value[0], str) else (vr, value)
            parts[tag] = element(tag, vr, encoded(vr, value, syntax), syntax)
    return b"".join(parts[tag] for tag in sorted(parts))


def dicom_file_of(body: bytes, syntax: str = EXPLICIT) -> bytes:
    meta = element(0x00020010, "UI", syntax.encode())
    if syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflater.compress(body) + deflater.flush()
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + body


def header_of(pixels: np.ndarray, photometric: str) -> dict[str, object]:
    """The elements that describe `pixels`: (rows, columns), (rows, columns, 3), or with frames first."""
    colour = photometric in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
    frames = pixels.ndim - (3 if colour else 2)
    shape = pixels.shape[frames:]
    bits = 8 * pixels.dtype.itemsize
    return {
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": photometric,
        "PlanarConfiguration": 0 if colour else None,
        "NumberOfFrames": pixels.shape[0] if frames else None,
        "Rows": shape[0],
        "Columns": shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }


def dicom(pixels: np.ndarray, photometric: str = "MONOCHROME2", syntax: str = EXPLICIT, **changes: object) -> bytes:
    order = ">" if syntax == BIG else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    if syntax == BIG and pixels.dtype.itemsize == 1:
        changes = {"PixelData": ("OB", data), **changes}
    elements = {**header_of(pixels, photometric), "PixelData": data, **changes}
    return dicom_file_of(data_set(elements, syntax), syntax)


def encapsulated(
    pixels: np.ndarray,
    syntax: str,
    photometric: str = "MONOCHROME2",
    frames: list[bytes] | None = None,
    value: bytes | None = None,
    delimiter: bool = True,
    **changes: object,
) -> bytes:
    header = {**header_of(pixels, photometric), **changes}
    if frames is None:
        encode = get_encoder(syntax).encode
        options = {
            "rows": header["Rows"],
            "columns": header["Columns"],
            "samples_per_pixel": header["SamplesPerPixel"],
            "photometric_interpretation": photometric,
            "bits_allocated": header["BitsAllocated"],
            "bits_stored": header["BitsStored"],
            "number_of_frames": 1,
            "planar_configuration": 0,
            "pixel_representation": header["PixelRepresentation"],
            "encoding_plugin": "",
        }
        stack = pixels if header["NumberOfFrames"] else pixels[None]
        frames = [encode(np.ascontiguousarray(frame), **options) for frame in stack]
    value = encapsulate(frames) if value is None else value
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if delimiter else b""
    pixel = struct.pack("<HH", 0x7FE0, 0x10) + b"OB\0\0\xff\xff\xff\xff" + value + end
    return dicom_file_of(data_set(header, EXPLICIT) + pixel, syntax)


def images(source, **options) -> list[np.ndarray]:
    return [np.asarray(frame.image) for frame in dicom_frames(source, **options)]


def image(source, **options) -> np.ndarray:
    (result,) = images(source, **options)
    return result


def reason(source, **options) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        list(dicom_frames(source, **options))
    return caught.value.reason


def data_set_of(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def full_range(ds: pydicom.Dataset) -> tuple[float, float]:
    """The range that pydicom's apply_voi_lut spreads a window over."""
    if ds.get("VOILUTSequence"):
        return 0, 2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
    if ds.get("ModalityLUTSequence"):
        return 0, 2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low, high = (
        (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1)
        if ds.PixelRepresentation
        else (0, 2**ds.BitsStored - 1)
    )
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept


def by_pydicom(ds: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    """One frame of pydicom's pixel_array as 8-bit grey or RGB, by pydicom's own transforms."""
    photometric = ds.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        return np.rint(apply_color_lut(stored, ds) / 257).astype(np.uint8)
    if not photometric.startswith("MONOCHROME"):
        return np.rint(stored.astype(np.float64) * 255 / (2**ds.BitsStored - 1)).astype(np.uint8)
    modal = apply_modality_lut(stored, ds)
    if "WindowCenter" in ds or "VOILUTSequence" in ds:
        low, high = full_range(ds)
        grey = np.rint((apply_voi_lut(modal, ds).astype(np.float64) - low) * 255 / (high - low))
    elif ds.BitsStored == 8 and not ds.PixelRepresentation and "RescaleSlope" not in ds:
        grey = modal
    else:
        counted = modal if "PixelPaddingValue" not in ds else modal[stored != ds.PixelPaddingValue]
        low, high = float(counted.min()), float(counted.max())
        grey = np.rint(np.clip((modal - low) * 255 / (high - low if high > low else 1), 0, 255))
    grey = grey.astype(np.uint8)
    return 255 - grey if photometric == "MONOCHROME1" else grey


# ---- pydicom's own files

READABLE = re.findall(
    r"\S+",
    """
693_J2KI CT_small ExplVR_BigEnd GDCMJ2K_TextGBR J2K_pixelrep_mismatch JPEG2000 JPEGLSNearLossless_08
JPEGLSNearLossless_16 JPGExtended MR_small MR_small_RLE MR_small_bigendian MR_small_expb MR_small_implicit
MR_small_jp2klossless MR_small_jpeg_ls_lossless MR_small_padded SC_jpeg_no_color_transform
SC_jpeg_no_color_transform_2 SC_rgb_dcmtk_+eb+cr SC_rgb_dcmtk_+eb+cy+n1 SC_rgb_dcmtk_+eb+cy+n2 SC_rgb_dcmtk_+eb+cy+np
SC_rgb_dcmtk_+eb+cy+s2 SC_rgb_dcmtk_+eb+cy+s4 SC_rgb_gdcm_KY SC_rgb_jls_lossy_line SC_rgb_jls_lossy_sample SC_rgb_jpeg
SC_rgb_jpeg_app14_dcmd SC_rgb_jpeg_dcmd SC_rgb_jpeg_dcmtk SC_rgb_jpeg_gdcm SC_rgb_jpeg_lossy_gdcm SC_rgb_rle
SC_rgb_rle_16bit SC_rgb_rle_16bit_2frame SC_rgb_rle_2frame SC_rgb_rle_32bit SC_rgb_rle_32bit_2frame SC_rgb_small_odd
SC_rgb_small_odd_big_endian SC_rgb_small_odd_jpeg SC_ybr_full_422_uncompressed examples_jpeg2k examples_overlay
examples_palette examples_rgb_color examples_ybr_color image_dfl liver_1frame liver_expb_1frame rtdose rtdose_1frame
rtdose_expb rtdose_expb_1frame rtdose_rle rtdose_rle_1frame
""",
)
UNREADABLE = {
    "ExplVR_BigEndNoMeta": "'DICM' is missing at byte 128",
    "ExplVR_LitEndNoMeta": "'DICM' is missing at byte 128",
    "no_meta": "'DICM' is missing at byte 128",
    "rtstruct": "'DICM' is missing at byte 128",
    "JPEG-lossy": "cannot be decoded: they are damaged, or an unsupported kind of JPEG Extended (Process 2 and 4)",
    "JPEG2000-embedded-sequence-delimiter": "but its header states 256 × 1024",
    "MR_truncated": "the file is truncated within its pixel data",
    "badVR": "NumberOfFrames is not a number",
    "meta_missing_tsyntax": "it states no transfer syntax",
    "nested_priv_SQ": "Rows is missing from its header",
    "rtplan_truncated": "the file is truncated",
    **dict.fromkeys(
        (
            "UN_sequence",
            "empty_charset_LEI",
            "no_meta_group_length",
            "priv_SQ",
            "reportsi",
            "rtplan",
            "test-SR",
            "reportsi_with_empty_number_tags",
            "waveform_ecg",
        ),
        "it holds no pixel data, as reports and plans do",
    ),
}


def local_file(name: str) -> str:
    path = get_testdata_file(f"{name}.dcm", download=False)
    if path is None:
        pytest.skip(f"this pydicom brings no {name}.dcm")
    return path


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", READABLE)
def test_pydicoms_files_are_as_pydicom_transforms_them(name):
    path = local_file(name)
    ds = pydicom.dcmread(path)
    stored = ds.pixel_array if int(ds.get("NumberOfFrames") or 1) > 1 else ds.pixel_array[None]
    frames = list(dicom_frames(path))
    assert [frame.number for frame in frames] == ([None] if len(stored) == 1 else list(range(1, len(stored) + 1)))
    for frame, values in zip(frames, stored, strict=True):
        assert frame.image.mode == ("L" if ds.PhotometricInterpretation.startswith("MONO") else "RGB")
        assert np.array_equal(np.asarray(frame.image), by_pydicom(ds, values))
    states_window = "WindowCenter" in ds or frames[0].image.mode == "RGB" or ds.BitsStored == 8
    assert {frame.notice for frame in frames} == {None if states_window else NO_WINDOW}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    "name",
    [
        "CT_small",
        "MR_small_bigendian",
        "examples_palette",
        "examples_ybr_color",
        "image_dfl",
        "MR_small_RLE",
        "rtdose",
        "liver_1frame",
        "MR_small_implicit",
    ],
)
def test_every_kind_of_source_gives_the_same(name):
    path = local_file(name)
    with open(path, "rb") as stream:
        data = stream.read()
    expected = images(path)
    raw, used = pydicom.dcmread(path), pydicom.dcmread(path)
    for _ in used.iterall():  # pydicom converts what it hands out
        pass
    buffered = pydicom.dcmread(path)
    with open(path, "rb") as stream:
        for source in (data, io.BytesIO(data), stream, raw, used, buffered):
            assert all(np.array_equal(a, b) for a, b in zip(images(source), expected, strict=True))
        assert not stream.closed


@pytest.mark.parametrize(("name", "phrase"), UNREADABLE.items())
def test_what_cannot_be_read_says_why(name, phrase):
    path = local_file(name)
    with pytest.raises(UnreadableImageError) as caught:
        list(dicom_frames(path))
    assert phrase in caught.value.reason
    assert caught.value.source == path


# ---- windows


def exact_window(value: Fraction, center: Fraction, width: Fraction, *, linear: bool) -> int:
    """PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2, word by word in exact arithmetic."""
    if linear:
        if value <= center - Fraction(1, 2) - (width - 1) / 2:
            return 0
        if value > center - Fraction(1, 2) + (width - 1) / 2:
            return 255
        return round(((value - (center - Fraction(1, 2))) / (width - 1) + Fraction(1, 2)) * 255)
    if value <= center - width / 2:
        return 0
    if value > center + width / 2:
        return 255
    return round(((value - center) / width + Fraction(1, 2)) * 255)


@settings(max_examples=400, deadline=None)
@example(values=[9, 10, 11], center=20, width=2, linear=True)
@example(values=[9, 10, 11], center=21, width=2, linear=True)
@given(
    values=st.lists(st.integers(-40000, 70000), min_size=1, max_size=30),
    center=st.integers(-3000, 6000),
    width=st.integers(2, 9000),
    linear=st.booleans(),
)
def test_windows_are_exact(values, center, width, linear):
    # in halves: centres such as 40.5 are common
    window = Window(center / 2, width / 2, "LINEAR" if linear else "LINEAR_EXACT")
    expected = [exact_window(Fraction(v), Fraction(center, 2), Fraction(width, 2), linear=linear) for v in values]
    assert apply_window(np.array(values), window).tolist() == expected


def test_a_linear_window_of_width_1_is_a_threshold():
    assert apply_window(np.array([9, 10, 11]), Window(10.5, 1)).tolist() == [0, 0, 255]


@settings(deadline=None)
@given(value=st.integers(-40000, 70000), center=st.floats(-3000, 3000), width=st.floats(0.01, 5000))
def test_sigmoid(value, center, width):
    power = -4 * (value - center) / width
    expected = 0 if power > 700 else round(255 / (1 + math.exp(power)))
    assert apply_window(np.array([value]), Window(center, width, "SIGMOID")).tolist() == [expected]


@settings(deadline=None)
@given(
    center=st.floats(-1e308, 1e308),
    width=st.floats(1, 1e308),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_are_monotonic_and_raise_no_warning(center, width, function):
    values = np.array([-1e300, -5.0, 0.0, 1.0, 2000.0, 1e300])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (np.diff(apply_window(values, Window(center, width, function)).astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("center", "width", "function", "phrase"),
    [
        (0, 0.5, "LINEAR", "at least 1"),
        (0, 0, "LINEAR_EXACT", "above 0"),
        (0, -1, "SIGMOID", "above 0"),
        (math.nan, 1, "LINEAR", "finite"),
        (0, math.inf, "LINEAR", "finite"),
        (0, math.nan, "SIGMOID", "finite"),
        (0, 1, "linear", "choose one of LINEAR, LINEAR_EXACT, SIGMOID"),
    ],
)
def test_windows_that_are_none(center, width, function, phrase):
    with pytest.raises(InputError, match=phrase):
        Window(center, width, function)


SIGNED = np.random.default_rng(1).integers(-2048, 2048, (33, 35)).astype(np.int16)
UNSIGNED = np.random.default_rng(2).integers(0, 4096, (33, 35)).astype(np.uint16)
BYTES = np.random.default_rng(3).integers(0, 256, (33, 35)).astype(np.uint8)
RGB = np.random.default_rng(4).integers(0, 256, (34, 36, 3)).astype(np.uint8)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("pixels", [SIGNED, UNSIGNED, BYTES, BYTES.view(np.int8), SIGNED.astype(np.int32) * 9])
@pytest.mark.parametrize("rescale", [None, (1, -1024), (2.5, 3), (-1, 100)])
def test_modality_then_window_then_inversion(syntax, photometric, function, pixels, rescale):
    slope, intercept = rescale or (None, None)
    window = Window(40.0, 400.0, function or "LINEAR")
    data = dicom(
        pixels,
        photometric,
        syntax,
        WindowCenter=[40, 900],
        WindowWidth=[400, 3],
        VOILUTFunction=function,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
    )
    modal = pixels.astype(np.float64) * (slope or 1) + (intercept or 0)
    expected = apply_window(modal, window)
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    (frame,) = dicom_frames(data)
    assert np.array_equal(np.asarray(frame.image), expected)
    assert (frame.image.mode, frame.number, frame.notice) == ("L", None, None)
    stored = data_set_of(data).pixel_array
    assert np.array_equal(stored, pixels)
    if function != "SIGMOID":  # pydicom's wider intermediate range rounds halves elsewhere
        assert np.abs(by_pydicom(data_set_of(data), stored).astype(int) - expected).max() <= 1


def test_a_window_that_is_asked_for_applies_to_modality_values_and_replaces_all_others():
    table = {"LUTDescriptor": [4, 0, 8], "LUTData": bytes(8)}
    data = dicom(
        UNSIGNED,
        WindowCenter=1,
        WindowWidth=2,
        VOILUTFunction="SIGMOID",
        VOILUTSequence=[table],
        RescaleSlope=1,
        RescaleIntercept=-1024,
    )
    window = Window(40, 400)
    assert np.array_equal(image(data, window=window), apply_window(UNSIGNED.astype(float) - 1024, window))


def test_where_there_is_no_window_8bit_values_are_as_stored():
    for pixels in (BYTES, BYTES.astype(np.uint16)):
        data = dicom(pixels, BitsStored=8, HighBit=7)
        (frame,) = dicom_frames(data)
        assert np.array_equal(np.asarray(frame.image), BYTES)
        assert frame.notice is None
    assert np.array_equal(image(dicom(BYTES, RescaleSlope=1, RescaleIntercept=0)), BYTES)
    assert np.array_equal(image(dicom(BYTES, "MONOCHROME1")), 255 - BYTES)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("pixels", "changes"),
    [
        (SIGNED, {}),
        (UNSIGNED, {"BitsStored": 12, "HighBit": 11}),
        (BYTES.view(np.int8), {}),
        (BYTES >> 4, {"BitsStored": 4, "HighBit": 3}),
        (BYTES, {"RescaleSlope": 2, "RescaleIntercept": 5}),
        (SIGNED, {"RescaleSlope": -2, "RescaleIntercept": 5}),
        (UNSIGNED.astype(np.uint32) * 70000, {}),
    ],
)
def test_where_there_is_no_window_the_frames_own_range_is_used_and_said(photometric, pixels, changes):
    data = dicom(pixels, photometric, **changes)
    ds = data_set_of(data)
    (frame,) = dicom_frames(data)
    assert np.array_equal(np.asarray(frame.image), by_pydicom(ds, ds.pixel_array))
    assert frame.notice == NO_WINDOW
    assert (np.asarray(frame.image).min(), np.asarray(frame.image).max()) == (0, 255)


def test_each_frame_has_a_range_of_its_own():
    pixels = np.stack([UNSIGNED, UNSIGNED // 4 + 7])
    for found, stored in zip(images(dicom(pixels)), pixels, strict=True):
        assert np.array_equal(found, stretch(stored.astype(float), stored.min(), float(stored.max() - stored.min())))


def test_a_frame_of_one_value_is_black():
    assert not image(dicom(np.full((3, 4), 77, np.uint16))).any()


@pytest.mark.parametrize(
    ("dtype", "padding", "limit"),
    [
        (np.int16, -2000, None),
        (np.int16, -2000, -1990),
        (np.int16, -1990, -2000),
        (np.uint16, 63000, None),
        (np.uint16, 0, 10),
        (np.uint16, 60000, 65535),
    ],
)
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("vr", ["US", "SS"])
def test_padding_is_left_out_of_the_range(dtype, padding, limit, syntax, vr):
    pixels = UNSIGNED[:8].astype(dtype) + 100
    pixels[0, :4] = padding
    pixels[1, :4] = padding if limit is None else limit
    data = dicom(pixels, syntax=syntax, PixelPaddingValue=(vr, padding), PixelPaddingRangeLimit=limit and (vr, limit))
    inside = np.ones(pixels.shape, bool)
    inside[:2, :4] = False
    low, high = float(pixels[inside].min()), float(pixels[inside].max())
    (frame,) = dicom_frames(data)
    found = np.asarray(frame.image)
    assert np.array_equal(found, stretch(pixels.astype(float), low, high - low))
    assert (found[inside].min(), found[inside].max()) == (0, 255)
    assert frame.notice == NO_WINDOW


def test_a_frame_of_nothing_but_padding_is_black():
    assert not image(dicom(np.full((3, 4), -2000, np.int16), PixelPaddingValue=("SS", -2000))).any()


# ---- look-up tables


def table_item(entries: np.ndarray, first: int, bits: int, syntax: str, vr: str = "OW", first_vr: str = "US") -> dict:
    order = ">" if syntax == BIG else "<"
    data = entries.astype(f"{order}u2").tobytes()
    return {"LUTDescriptor": (first_vr, [len(entries) & 0xFFFF, first, bits]), "LUTData": (vr, data)}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize(("pixels", "first"), [(UNSIGNED, 1000), (SIGNED, -1000), (UNSIGNED, 0)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_modality_and_voi_tables(syntax, vr, pixels, first, photometric):
    random = np.random.default_rng(0)
    modality = table_item(random.integers(0, 4096, 2000), first, 16, syntax, vr, "SS" if first < 0 else "US")
    voi = table_item(random.integers(0, 1024, 3000), 500, 10, syntax, vr)
    data = dicom(
        pixels,
        photometric,
        syntax,
        ModalityLUTSequence=[modality],
        VOILUTSequence=[voi, voi],
        WindowCenter=40,
        WindowWidth=400,
    )
    found = image(data)
    assert np.array_equal(image(data_set_of(data)), found)
    if syntax != BIG:  # pydicom converts big-endian OW tables only where it has not handed them out
        ds = data_set_of(data)
        assert np.array_equal(by_pydicom(ds, ds.pixel_array), found)
    windowed = dicom(pixels, photometric, syntax, ModalityLUTSequence=[modality], WindowCenter=2000, WindowWidth=3000)
    entries = np.frombuffer(modality["LUTData"][1], ">u2" if syntax == BIG else "<u2")
    modal = entries[np.clip(pixels.astype(int) - first, 0, 1999)]
    expected = apply_window(modal, Window(2000, 3000))
    assert np.array_equal(image(windowed), 255 - expected if photometric == "MONOCHROME1" else expected)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_a_voi_table_of_modality_values_below_zero(syntax):
    entries = np.arange(256)
    item = table_item(entries, -100, 8, syntax, first_vr="SS")
    data = dicom(UNSIGNED, syntax=syntax, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=[item])
    expected = np.clip(UNSIGNED.astype(int) - 1024 + 100, 0, 255)
    assert np.array_equal(image(data), expected)
    assert np.array_equal(image(data_set_of(data)), expected)


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_a_voi_table_of_bytes(syntax):
    entries = np.random.default_rng(0).integers(0, 256, 255).astype(np.uint8)
    packed = entries.tobytes() + b"\0"
    packed = np.frombuffer(packed, ">u2").astype("<u2").tobytes() if syntax == BIG else packed
    data = dicom(BYTES, syntax=syntax, VOILUTSequence=[{"LUTDescriptor": [255, 0, 8], "LUTData": packed}])
    assert np.array_equal(image(data), entries[np.minimum(BYTES, 254)])


def test_a_voi_table_of_65536_entries():
    entries = np.arange(65536)[::-1]
    data = dicom(UNSIGNED * 16, VOILUTSequence=[table_item(entries, 0, 16, EXPLICIT)])
    assert np.array_equal(image(data), np.rint((65535 - UNSIGNED * 16.0) / 257))


def test_a_table_rounds_fractions_to_the_nearest_entry():
    table = LookupTable(-1, np.array([10, 20, 30], np.uint16), 8)
    values = np.array([-9, -1.4, -0.6, 0.4, 0.6, 99])
    assert table(values).tolist() == [10, 10, 10, 20, 30, 30]
    assert LookupTable(0, np.array([0, 1023], np.uint16), 10).in_8bit().entries.tolist() == [0, 255]


@pytest.mark.parametrize(
    ("item", "phrase"),
    [
        ({"LUTDescriptor": [4, 0]}, "LUTDescriptor is not three numbers"),
        ({"LUTData": bytes(8)}, "LUTDescriptor is not three numbers"),
        ({"LUTDescriptor": [4, 0, 7], "LUTData": bytes(8)}, "7 bits an entry: 8 to 16"),
        ({"LUTDescriptor": [4, 0, 17], "LUTData": bytes(8)}, "17 bits an entry: 8 to 16"),
        ({"LUTDescriptor": [4, 0, 16], "LUTData": bytes(6)}, "does not hold the 4 entries"),
        ({"LUTDescriptor": [4, 0, 16], "LUTData": bytes(10)}, "does not hold the 4 entries"),
        ({"LUTDescriptor": [0, 0, 16], "LUTData": bytes(10)}, "does not hold the 65536 entries"),
        ({"LUTDescriptor": [4, 0, 16]}, "LUTData is missing"),
        ({"LUTDescriptor": [4, 0, 10], "LUTData": b"\0\4" * 4}, "more than the 10 bits"),
    ],
)
@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
def test_broken_tables(item, phrase, sequence):
    assert phrase in reason(dicom(UNSIGNED, **{sequence: [item]}))


# ---- broken transforms


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"WindowCenter": 40, "WindowWidth": 0}, "set one with --window C W"),
        ({"WindowCenter": 40, "WindowWidth": 0.9}, "set one with --window C W"),
        ({"WindowCenter": 40, "WindowWidth": -1, "VOILUTFunction": "SIGMOID"}, "set one with --window C W"),
        ({"WindowCenter": 40}, "set one with --window C W"),
        ({"WindowWidth": 40}, "set one with --window C W"),
        ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "CUBIC"}, "set one with --window C W"),
        ({"WindowCenter": "1e999", "WindowWidth": 400}, "set one with --window C W"),
        ({"WindowCenter": "40,5", "WindowWidth": 400}, "WindowCenter is not a number"),
        ({"WindowCenter": "4_0", "WindowWidth": 400}, "WindowCenter is not a number"),
        ({"WindowCenter": "nan", "WindowWidth": 400}, "WindowCenter is not a number"),
        ({"RescaleSlope": 1}, "states only one"),
        ({"RescaleIntercept": 1}, "states only one"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope is 0"),
        ({"RescaleSlope": "1e999", "RescaleIntercept": 0}, "too large"),
        ({"RescaleSlope": "x", "RescaleIntercept": 0}, "RescaleSlope is not a number"),
    ],
)
def test_broken_transforms(changes, phrase):
    assert phrase in reason(dicom(SIGNED, **changes))


def test_an_invalid_window_can_be_replaced():
    data = dicom(SIGNED, WindowCenter=40, WindowWidth=0)
    assert np.array_equal(image(data, window=Window(40, 400)), apply_window(SIGNED, Window(40, 400)))


def test_empty_elements_count_as_absent():
    empty = dict.fromkeys(
        (
            "WindowCenter",
            "WindowWidth",
            "RescaleSlope",
            "RescaleIntercept",
            "VOILUTFunction",
            "NumberOfFrames",
            "PixelPaddingValue",
            "VOILUTSequence",
            "ModalityLUTSequence",
        ),
        b"",
    )
    empty["VOILUTSequence"] = empty["ModalityLUTSequence"] = ("SQ", b"")
    assert np.array_equal(image(dicom(BYTES, **empty)), BYTES)
    blank = {**empty, "WindowCenter": b"  ", "WindowWidth": b" \0"}
    assert np.array_equal(image(dicom(BYTES, **blank)), BYTES)


# ---- floating-point pixels


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_float_pixels_need_a_window(keyword, dtype, syntax):
    pixels = np.random.default_rng(0).normal(0, 3, (2, 33, 35)).astype(dtype)
    order = ">" if syntax == BIG else "<"
    changes = {
        "PixelData": None,
        "BitsStored": None,
        "HighBit": None,
        "PixelRepresentation": None,
        keyword: pixels.astype(pixels.dtype.newbyteorder(order)).tobytes(),
    }
    plain = dicom(pixels, syntax=syntax, **changes)
    assert "floating-point pixels need a window" in reason(plain)
    assert "--window C W" in reason(plain)
    window = Window(0.5, 2, "LINEAR_EXACT")
    stated = dicom(pixels, syntax=syntax, WindowCenter=0.5, WindowWidth=2, VOILUTFunction="LINEAR_EXACT", **changes)
    for found in (images(plain, window=window), images(stated)):
        assert np.array_equal(found, apply_window(pixels, window))
    pixels[1, 0, 0] = np.nan
    changes[keyword] = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    assert "no finite numbers" in reason(dicom(pixels, syntax=syntax, **changes), window=window)


def test_float_pixels_must_be_grey():
    pixels = np.zeros((4, 5), np.float32)
    changes = {"PixelData": None, "FloatPixelData": pixels.tobytes()}
    assert "uncompressed grey" in reason(dicom(pixels, "PALETTE COLOR", **changes))
    assert "not supported" in reason(dicom(pixels, BitsAllocated=64, **changes))


# ---- colour


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.uint8, 8), (np.uint8, 5), (np.uint16, 16), (np.uint16, 12), (np.uint16, 8), (np.uint32, 32)]
)
def test_rgb(syntax, planar, frames, dtype, bits):
    pixels = np.random.default_rng(0).integers(0, 2**bits, (frames or 1, 7, 5, 3)).astype(dtype)
    shown = pixels if frames else pixels[0]
    order = shown.dtype.newbyteorder(">" if syntax == BIG else "<")
    data = (np.moveaxis(shown, -1, -3) if planar else shown).astype(order).tobytes()
    source = dicom(
        shown,
        "RGB",
        syntax,
        PlanarConfiguration=planar,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelData=("OB" if dtype == np.uint8 else "OW", data),
    )
    found = images(source)
    assert len(found) == (frames or 1)
    expected = np.rint(pixels * 255.0 / (2**bits - 1)).astype(np.uint8)
    assert np.array_equal(found, expected)
    assert np.array_equal(data_set_of(source).pixel_array, shown)


@pytest.mark.parametrize("frames", [1, 3])
def test_odd_8bit_frames_in_big_endian_words(frames):
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 3, 3, 3)).astype(np.uint8)
    flat = pixels.tobytes() + bytes(pixels.size % 2)
    swapped = np.frombuffer(flat, ">u2").astype("<u2").tobytes()
    assert np.array_equal(images(dicom(pixels, "RGB", BIG, PixelData=("OW", swapped))), pixels)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("planar", [0, 1])
def test_ybr_full(syntax, planar):
    data = (np.moveaxis(RGB, -1, 0) if planar else RGB).tobytes()
    source = dicom(RGB, "YBR_FULL", syntax, PlanarConfiguration=planar, PixelData=("OB", data))
    assert np.array_equal(image(source), convert_color_space(RGB, "YBR_FULL", "RGB"))


def test_ybr_full_is_converted_in_blocks_of_rows():
    pixels = np.random.default_rng(0).integers(0, 256, (2100, 1000, 3)).astype(np.uint8)
    assert np.array_equal(image(dicom(pixels, "YBR_FULL")), convert_color_space(pixels, "YBR_FULL", "RGB"))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_ybr_full_422(syntax):
    two = np.random.default_rng(0).integers(0, 256, (2, 6, 4, 4)).astype(np.uint8)  # y1 y2 b r of each pair of pixels
    pixels = np.stack([two[..., [0, 2, 3]], two[..., [1, 2, 3]]], axis=-2).reshape(2, 6, 8, 3)
    source = dicom(pixels, "YBR_FULL_422", syntax, PixelData=("OB", two.tobytes()))
    assert np.array_equal(images(source), convert_color_space(pixels, "YBR_FULL", "RGB"))
    assert "larger than YBR_FULL_422 allows" in reason(dicom(pixels, "YBR_FULL_422", syntax))


@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT"])
def test_jpeg_2000_colour_transforms(photometric):
    data = encapsulated(RGB, J2K, "YBR_RCT")
    assert np.array_equal(image(data), RGB)
    assert f"{photometric} of 8 bits in this transfer syntax is not supported" in reason(dicom(RGB, photometric))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize(
    ("pixels", "first", "count"),
    [(BYTES, 0, 256), (BYTES, 10, 100), (UNSIGNED, 30, 3000), (SIGNED, -700, 1500), (UNSIGNED * 16, 0, 65536)],
)
def test_palette(syntax, pixels, first, count):
    order = ">" if syntax == BIG else "<"
    random = np.random.default_rng(0)
    tables = random.integers(0, 65536, (3, count)).astype(np.uint16)
    changes: dict[str, object] = {}
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        descriptor = ("SS" if first < 0 else "US", [count & 0xFFFF, first, 16])
        changes[f"{name}PaletteColorLookupTableDescriptor"] = descriptor
        changes[f"{name}PaletteColorLookupTableData"] = table.astype(f"{order}u2").tobytes()
    source = dicom(pixels, "PALETTE COLOR", syntax, **changes)
    index = np.clip(pixels.astype(int) - first, 0, count - 1)
    expected = np.rint(np.stack([table[index] for table in tables], -1) / 257.0)
    assert np.array_equal(image(source), expected)
    assert np.array_equal(image(data_set_of(source)), expected)
    if syntax != BIG:  # pydicom reads big-endian tables in the machine's order
        assert np.array_equal(by_pydicom(data_set_of(source), data_set_of(source).pixel_array), expected)


@pytest.mark.parametrize("packed", [True, False])
def test_palette_of_8bit_entries(packed):
    tables = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint8)
    changes: dict[str, object] = {}
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        changes[f"{name}PaletteColorLookupTableData"] = table.astype(np.uint8 if packed else "<u2").tobytes()
    assert np.array_equal(image(dicom(BYTES, "PALETTE COLOR", **changes)), np.moveaxis(tables[:, BYTES], 0, -1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_segmented_palette(bits, syntax):
    words = [0, 3, 5, 9, 200, 1, 100, 60, 0, 1, 7, 1, 152, 160]
    order = ">" if syntax == BIG else "<"
    segments = bytes(words) if bits == 8 else np.array(words, f"{order}u2").tobytes()
    segments = np.frombuffer(segments, ">u2").astype("<u2").tobytes() if bits == 8 and syntax == BIG else segments
    changes: dict[str, object] = {}
    for name in ("Red", "Green", "Blue"):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        changes[f"Segmented{name}PaletteColorLookupTableData"] = segments
    source = dicom(BYTES, "PALETTE COLOR", syntax, **changes)
    table = np.array(expand_segments(np.array(words)))
    assert len(table) == 256
    expected = np.rint(table[BYTES] * (255 / (2**bits - 1)))
    assert np.array_equal(image(source), np.repeat(expected[..., None], 3, -1))
    assert np.array_equal(image(data_set_of(source)), image(source))
    if syntax != BIG or bits == 16:  # pydicom takes big-endian words for bytes
        ds = data_set_of(source)
        assert np.array_equal(apply_color_lut(ds.pixel_array, ds)[..., 0], table[BYTES])


@settings(deadline=None)
@given(
    starts=st.lists(st.integers(0, 65535), min_size=1, max_size=5),
    end=st.integers(0, 65535),
    length=st.integers(1, 600),
)
def test_linear_segments_are_exact(starts, end, length):
    found = expand_segments(np.array([0, len(starts), *starts, 1, length, end]))
    rise = [round(starts[-1] + Fraction((end - starts[-1]) * step, length)) for step in range(1, length + 1)]
    assert found == starts + rise


@pytest.mark.parametrize("words", [[1, 3, 5], [0, 4, 1, 2], [0, 1, 5, 2, 1, 0, 0], [0, 1, 5, 1, 0, 9], [0, 1, 5, 1, 9]])
def test_broken_segments(words):
    with pytest.raises(ValueError, match="segment"):
        expand_segments(np.array(words))
    changes = {f"{name}PaletteColorLookupTableDescriptor": [4, 0, 16] for name in ("Red", "Green", "Blue")}
    changes["SegmentedRedPaletteColorLookupTableData"] = np.array(words, "<u2").tobytes()
    assert "segments that are broken or of an unsupported kind" in reason(dicom(BYTES, "PALETTE COLOR", **changes))


def test_a_palette_that_is_not_there():
    assert "RedPaletteColorLookupTableDescriptor is not three numbers" in reason(dicom(BYTES, "PALETTE COLOR"))


@pytest.mark.parametrize("data", [dicom(RGB, "RGB"), dicom(RGB, "YBR_FULL")])
def test_a_window_that_colour_cannot_use_is_said(data):
    (frame,) = dicom_frames(data, window=Window(40, 400))
    assert frame.notice == NOT_WINDOWED
    (plain,) = dicom_frames(data)
    assert np.array_equal(np.asarray(frame.image), np.asarray(plain.image))
    assert plain.notice is None


def test_jpeg_data_of_another_colour_space_are_said():
    stream = io.BytesIO()
    from PIL import Image

    Image.fromarray(RGB).save(stream, "JPEG", quality=95, subsampling=0)  # JFIF: YBR
    jpeg = stream.getvalue()
    with pytest.warns(UserWarning, match="JFIF"):
        (frame,) = dicom_frames(encapsulated(RGB, JPEG, "RGB", frames=[jpeg]))
    assert frame.notice == COLOUR_SPACE
    (right,) = dicom_frames(encapsulated(RGB, JPEG, "YBR_FULL", frames=[jpeg]))
    assert right.notice is None
    assert np.array_equal(np.asarray(frame.image), np.asarray(right.image))


# ---- bits and frames


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(9, 17))
def test_unused_high_bits_are_ignored(syntax, signed, bits):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = np.random.default_rng(0).integers(low, high, (9, 8)).astype(np.int16 if signed else np.uint16)
    noisy = (values.view(np.uint16) & (2**bits - 1)) | np.uint16(0b1010101010101010 << bits & 0xFFFF)
    source = dicom(
        noisy.view(values.dtype), syntax=syntax, BitsStored=bits, HighBit=bits - 1, WindowCenter=100, WindowWidth=3000
    )
    assert np.array_equal(image(source), apply_window(values, Window(100, 3000)))


@pytest.mark.parametrize("shape", [(1, 15), (10, 10), (3, 3), (8, 8), (5, 3)])
def test_1bit_frames_that_do_not_end_on_a_byte(shape):
    bits = np.random.default_rng(0).integers(0, 2, (9, *shape)).astype(np.uint8)
    bits[:, 0, :2] = (0, 1)
    data = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    changes = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": ("OB", data)}
    assert np.array_equal(images(dicom(bits, **changes)), bits * 255)
    assert "not supported" in reason(dicom(bits, syntax=BIG, **{**changes, "PixelData": ("OW", data + b"\0")}))


STACK = np.random.default_rng(5).integers(0, 256, (5, 34, 33)).astype(np.uint8)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, RLE, J2K])
def test_frames_are_numbered_from_1_and_chosen_by_number(syntax):
    source = encapsulated(STACK, syntax) if syntax in (RLE, J2K) else dicom(STACK, syntax=syntax)
    frames = list(dicom_frames(source))
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]
    assert np.array_equal([np.asarray(frame.image) for frame in frames], STACK)
    for number in range(1, 6):
        (frame,) = dicom_frames(source, frame=number)
        assert frame.number == number
        assert np.array_equal(np.asarray(frame.image), STACK[number - 1])
    assert reason(source, frame=6) == "frame 6 was asked for, but it holds 5 frames: choose one from 1 to 5"
    (single,) = dicom_frames(dicom(BYTES), frame=1)
    assert single.number is None
    assert "it holds one frame" in reason(dicom(BYTES), frame=2)


@pytest.mark.parametrize("frame", [0, -1, True, 1.0, "1"])
def test_what_is_no_frame_number_is_refused_at_once(frame):
    with pytest.raises(InputError, match="frames are counted from 1"):
        dicom_frames(dicom(BYTES), frame=frame)


@pytest.mark.parametrize("frames", ["0", "-1", "1.5", "1e999", "x"])
def test_what_is_no_number_of_frames(frames):
    assert "NumberOfFrames is not a" in reason(dicom(BYTES, NumberOfFrames=frames))


def test_more_frames_than_stated_are_said():
    source = dicom(STACK, NumberOfFrames=3)
    frames = list(dicom_frames(source))
    assert [frame.notice for frame in frames] == [SURPLUS] * 3
    (one,) = dicom_frames(dicom(STACK[:2].astype(np.uint16), NumberOfFrames=None))
    assert one.notice == f"{SURPLUS}; {NO_WINDOW}"
    (padded,) = dicom_frames(dicom(BYTES, PixelData=BYTES.tobytes() + bytes(9)))
    assert padded.notice is None


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_enhanced_frames_have_transforms_of_their_own(syntax):
    pixels = np.stack([UNSIGNED, UNSIGNED[::-1], UNSIGNED[:, ::-1]])
    slopes, windows = [1, 2, 0.5], [(40, 400), (1000, 3000), (500, 90)]
    groups = [
        {
            "PixelValueTransformationSequence": [{"RescaleSlope": slope, "RescaleIntercept": -5}],
            "FrameVOILUTSequence": [{"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": "LINEAR_EXACT"}],
        }
        for slope, (center, width) in zip(slopes, windows, strict=True)
    ]
    expected = [
        apply_window(stored.astype(float) * slope - 5, Window(center, width, "LINEAR_EXACT"))
        for stored, slope, (center, width) in zip(pixels, slopes, windows, strict=True)
    ]
    source = dicom(pixels, syntax=syntax, PerFrameFunctionalGroupsSequence=groups)
    for found in (images(source), images(data_set_of(source)), [image(source, frame=number) for number in (1, 2, 3)]):
        assert np.array_equal(found, expected)

    # what all frames share holds where a frame states nothing, and top-level values where neither does
    only_windows = [{"FrameVOILUTSequence": group["FrameVOILUTSequence"]} for group in groups]
    shared = {
        "PixelValueTransformationSequence": [{"RescaleSlope": 3, "RescaleIntercept": 7}],
        "FrameVOILUTSequence": [{"WindowCenter": 1, "WindowWidth": 2}],
    }
    mixed = dicom(
        pixels,
        syntax=syntax,
        PerFrameFunctionalGroupsSequence=only_windows,
        SharedFunctionalGroupsSequence=[shared],
        RescaleSlope=9,
        RescaleIntercept=9,
    )
    expected = [
        apply_window(stored.astype(float) * 3 + 7, Window(center, width, "LINEAR_EXACT"))
        for stored, (center, width) in zip(pixels, windows, strict=True)
    ]
    assert np.array_equal(images(mixed), expected)
    top = dicom(
        pixels, syntax=syntax, PerFrameFunctionalGroupsSequence=only_windows, RescaleSlope=9, RescaleIntercept=9
    )
    expected = [
        apply_window(stored.astype(float) * 9 + 9, Window(center, width, "LINEAR_EXACT"))
        for stored, (center, width) in zip(pixels, windows, strict=True)
    ]
    assert np.array_equal(images(top), expected)


def test_fewer_frame_groups_than_frames():
    groups = [{"FrameVOILUTSequence": [{"WindowCenter": 1, "WindowWidth": 2}]}] * 2
    assert "describes 2 frames, but states 5" in reason(dicom(STACK, PerFrameFunctionalGroupsSequence=groups))


def test_only_the_frames_asked_for_are_read():
    """Memory is bounded by a frame: neither all pixel data are read at once, nor any frame before it is asked for."""
    reads = []

    class Recorder(io.BytesIO):
        def read(self, size=-1):
            data = super().read(size)
            reads.append(len(data))
            return data

    pixels = np.zeros((40, 64, 64), np.uint16)
    for source in (
        dicom(pixels, WindowCenter=40, WindowWidth=400),
        encapsulated(pixels, RLE, WindowCenter=1, WindowWidth=9),
    ):
        reads.clear()
        frames = dicom_frames(Recorder(source))
        next(frames)
        assert sum(reads) < 3 * pixels[0].nbytes
        assert max(reads) <= pixels[0].nbytes
        assert len(list(frames)) == 39
        assert max(reads) <= pixels[0].nbytes


# ---- compressed


@pytest.mark.parametrize("syntax", [RLE, J2K])
@pytest.mark.parametrize("pixels", [BYTES, UNSIGNED, SIGNED])
def test_compressed_grey(syntax, pixels):
    source = encapsulated(pixels, syntax, WindowCenter=100, WindowWidth=900)
    assert np.array_equal(image(source), apply_window(pixels, Window(100, 900)))


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
@pytest.mark.parametrize("fragments", [1, 2])
def test_offset_tables_and_fragments(table, fragments):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 33)).astype(np.uint8)
    options = {
        "rows": 40,
        "columns": 33,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 8,
        "bits_stored": 8,
        "number_of_frames": 1,
        "pixel_representation": 0,
    }
    frames = [get_encoder(J2K).encode(frame, **options) for frame in pixels]
    if table == "extended":
        value, offsets, lengths = encapsulate_extended(frames)
        source = encapsulated(pixels, J2K, value=value, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    else:
        value = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
        source = encapsulated(pixels, J2K, value=value)
    for found in (images(source), images(data_set_of(source)), [image(source, frame=number) for number in range(1, 5)]):
        assert np.array_equal(found, pixels)


def test_where_frames_begin_must_be_known():
    frames = [
        get_encoder(RLE).encode(
            frame,
            rows=34,
            columns=33,
            samples_per_pixel=1,
            bits_allocated=8,
            bits_stored=8,
            photometric_interpretation="MONOCHROME2",
            number_of_frames=1,
            pixel_representation=0,
        )
        for frame in STACK
    ]
    ambiguous = encapsulated(STACK, RLE, value=encapsulate(frames, has_bot=False), NumberOfFrames=3)
    assert "do not show where its 3 frames begin" in reason(ambiguous)
    assert "does not fit the 3 frame(s)" in reason(encapsulated(STACK, RLE, frames=frames, NumberOfFrames=3))
    assert "does not fit the 9 frame(s)" in reason(encapsulated(STACK, RLE, frames=frames, NumberOfFrames=9))


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded():
    """Its size, not the header's, is what a decoder allocates."""
    taller = encapsulated(BYTES, J2K).replace(
        element(TAGS["Rows"], "US", b"\x21\0"), element(TAGS["Rows"], "US", b"\x64\0")
    )
    assert reason(taller) == "its compressed data hold 35 × 33 pixels, but its header states 35 × 100"
    stream = io.BytesIO()
    from PIL import Image

    Image.fromarray(BYTES).save(stream, "JPEG")
    assert "hold 35 × 33 pixels" in reason(encapsulated(BYTES, JPEG, frames=[stream.getvalue()], Rows=16))


@pytest.mark.parametrize(
    ("frame", "phrase"),
    [
        (b"\xff\xd8\xff\xe0\0\x10" + bytes(20), "lacks its end marker"),
        (b"\xff\xd8" + bytes(20) + b"\xff\xd9", "damaged"),
        (bytes(20) + b"\xff\xd9", "damaged"),
        (
            b"\xff\xd8\xff\xc0\0\x0b\x08\0\x21\0\x23\x01\x01\x11\0\xff\xd9" + bytes(9),
            "damaged",
        ),
    ],
)
def test_damaged_jpeg(frame, phrase):
    assert phrase in reason(encapsulated(BYTES, JPEG, frames=[frame]))


def test_every_truncation_of_compressed_pixel_data_is_noticed():
    for syntax in (RLE, J2K):
        source = encapsulated(STACK, syntax)
        for end in range(len(source) - 1, len(source) - 400, -1):
            assert "truncated" in reason(source[:end])
    assert "truncated" in reason(encapsulated(BYTES, RLE, delimiter=False))


def test_damaged_encapsulation():
    assert "empty" in reason(encapsulated(BYTES, RLE, value=struct.pack("<HHL", 0xFFFE, 0xE000, 0)))
    assert "damaged" in reason(encapsulated(BYTES, RLE, value=bytes(64)))
    assert "damaged" in reason(encapsulated(BYTES, RLE, value=struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)))
    assert "damaged" in reason(encapsulated(BYTES, EXPLICIT, frames=[BYTES.tobytes()]))
    ds = data_set_of(encapsulated(BYTES, RLE))
    ds.PixelData = ds.PixelData[:-4]
    assert "truncated" in reason(ds)


# ---- headers


REQUIRED = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_element_is_named(name):
    assert reason(dicom(BYTES, **{name: None})) == f"{name} is missing from its header"
    assert reason(dicom(BYTES, **{name: b""})) == f"{name} is missing from its header"


def test_a_missing_planar_configuration_is_named():
    assert reason(dicom(RGB, "RGB", PlanarConfiguration=None)) == "PlanarConfiguration is missing from its header"
    assert np.array_equal(image(encapsulated(RGB, RLE, "RGB", PlanarConfiguration=0)), RGB)


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"Rows": 0}, "it has no pixels (35 × 0)"),
        ({"Columns": 0}, "it has no pixels (0 × 33)"),
        ({"Rows": bytearray(b"\1\0\2")}, "Rows is damaged"),
        ({"SamplesPerPixel": 3}, "MONOCHROME2 needs 1 samples a pixel, but it has 3"),
        ({"BitsAllocated": 12}, "8 bits stored of 12 allocated are not supported"),
        ({"BitsAllocated": 64, "BitsStored": 64}, "64 bits stored of 64 allocated are not supported"),
        ({"BitsStored": 0}, "0 bits stored of 8 allocated are not supported"),
        ({"BitsStored": 9}, "9 bits stored of 8 allocated are not supported"),
        ({"HighBit": 6}, "its values end at bit 6, where only bit 7 is supported"),
        ({"PixelRepresentation": 2}, "PixelRepresentation 2 is not defined"),
        ({"PixelData": None}, "it holds no pixel data"),
        ({"PixelData": b""}, "its pixel data are empty"),
        ({"PixelData": bytes(1153)}, "its pixel data are truncated: 1 frame(s) need 1155 bytes, but it holds 1154"),
        ({"NumberOfFrames": 2}, "its pixel data are truncated: 2 frame(s) need 2310 bytes, but it holds 1156"),
        ({"NumberOfFrames": 999999999999}, "its pixel data are truncated"),
        ({"PhotometricInterpretation": "HSV"}, "its photometric interpretation is none of MONOCHROME1, MONOCHROME2"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "its photometric interpretation is none of"),
    ],
)
def test_headers_that_fit_no_image(changes, phrase):
    found = reason(dicom(BYTES, **changes))
    assert phrase in found
    assert "HSV" not in found


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"PixelRepresentation": 1}, "is not defined for RGB"),
        ({"PlanarConfiguration": 2}, "PlanarConfiguration 2 is not defined"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "not supported for RGB"),
    ],
)
def test_headers_that_fit_no_colour_image(changes, phrase):
    assert phrase in reason(dicom(RGB, "RGB", **changes))


def test_values_beyond_the_bits_stored_are_refused_where_they_would_wrap():
    random = np.random.default_rng(0)
    wide = random.integers(0, 4096, (40, 33)).astype(np.uint16)
    data = encapsulated(wide, J2K)
    narrow = data.replace(element(TAGS["BitsStored"], "US", b"\x10\0"), element(TAGS["BitsStored"], "US", b"\x08\0"))
    assert "more than the 8 bits" in reason(narrow)
    colour = random.integers(0, 4096, (40, 33, 3)).astype(np.uint16)
    data = encapsulated(colour, J2K, "RGB")
    narrow = data.replace(element(TAGS["BitsStored"], "US", b"\x10\0"), element(TAGS["BitsStored"], "US", b"\x0b\0"))
    assert "more than the 11 bits" in reason(narrow)


def test_a_huge_frame_is_refused_before_it_is_allocated():
    source = dicom(BYTES, Rows=65535, Columns=65535, NumberOfFrames=50000)
    assert reason(source).startswith(f"65535 × 65535 pixels are more than the {MAX_PIXELS}")


@pytest.mark.parametrize(
    ("syntax", "phrase"),
    [
        ("1.2.840.10008.1.2.4.102", "the transfer syntax MPEG-4 AVC/H.264 High Profile / Level 4.1 is not supported"),
        (
            "1.2.840.10008.1.2.4.92",
            "the transfer syntax JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only) is",
        ),
        ("1.2.840.10008.5.1.4.1.1.2", "its transfer syntax is not supported"),
        ("1.2.3.4.5", "its transfer syntax is not supported"),
        (MARKER, "its transfer syntax is not supported"),
        ("", "it states no transfer syntax"),
    ],
)
def test_unsupported_transfer_syntaxes(syntax, phrase):
    found = reason(dicom_file_of(data_set({**header_of(BYTES, "MONOCHROME2"), "PixelData": BYTES.tobytes()}), syntax))
    assert phrase in found
    assert "MARKER" not in found
    if syntax and syntax != MARKER:
        assert "convert it to Explicit VR Little Endian first" in found
        ds = data_set_of(dicom(BYTES))
        ds.file_meta.TransferSyntaxUID = syntax
        assert reason(ds) == found


def test_a_data_set_in_memory_needs_a_transfer_syntax():
    ds = data_set_of(dicom(BYTES))
    del ds.file_meta
    assert "set file_meta.TransferSyntaxUID" in reason(ds)
    assert "no pixel data" in reason(pydicom.Dataset())
    ds = data_set_of(dicom(BYTES))
    ds["PixelData"].value = None
    assert "empty" in reason(ds)


def test_file_meta_information_of_other_shapes():
    body = data_set({**header_of(BYTES, "MONOCHROME2"), "PixelData": BYTES.tobytes()})
    title = element(0x00020016, "AE", b"SENDER") + element(0x00020102, "OB", bytes(300))
    syntax = element(0x00020010, "UI", EXPLICIT.encode())
    implicit = element(0x00020010, "UI", EXPLICIT.encode(), IMPLICIT)
    for meta in (syntax, syntax + title, title + syntax, implicit):
        assert np.array_equal(image(bytes(128) + b"DICM" + meta + body), BYTES)
    assert "it states no transfer syntax" in reason(bytes(128) + b"DICM")


def test_explicit_values_under_an_implicit_transfer_syntax():
    """A common fault, which pydicom notices and warns of without quoting a value."""
    body = data_set({**header_of(BYTES, "MONOCHROME2"), "PixelData": BYTES.tobytes()})
    with pytest.warns(UserWarning, match="Expected implicit VR, but found explicit VR"):
        assert np.array_equal(image(dicom_file_of(body, IMPLICIT)), BYTES)


def test_pixel_data_without_a_long_vr():
    body = data_set({**header_of(BYTES, "MONOCHROME2"), "PixelData": ("US", BYTES.tobytes() + b"\0")})
    assert np.array_equal(image(dicom_file_of(body)), BYTES)


def test_deflated_data_are_bounded(monkeypatch):
    source = dicom(np.zeros((64, 64), np.uint8), syntax=DEFLATED)
    assert not image(source).any()
    assert reason(source[:-4]) == "the file is truncated"
    start = len(dicom_file_of(b"", DEFLATED)) - 2
    assert reason(source[:start] + b"\xff" * 99) == "its deflated data are damaged"
    monkeypatch.setattr(dicom_file, "_MAX_INFLATED", 1000)
    assert reason(source) == "its deflated data are too large"


def test_every_truncation_of_a_file_is_noticed():
    source = dicom(
        UNSIGNED, WindowCenter=40, WindowWidth=400, VOILUTSequence=[table_item(np.arange(9), 0, 8, EXPLICIT)]
    )
    expected = image(source)
    assert expected.any()
    for end in range(len(source)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert reason(source[:end])


def test_faults_of_the_machine_are_told_from_faults_of_the_file():
    with pytest.raises(UnreadableImageError, match="too little memory"), reading("damaged"):
        raise MemoryError
    with pytest.raises(UnreadableImageError, match=r"it cannot be read \(Input/output error\)"), reading("damaged"):
        raise OSError(5, "Input/output error")
    with pytest.raises(UnreadableImageError, match=r"^damaged$"), reading("damaged"):
        raise OSError("a text of pydicom")
    with pytest.raises(InputError, match="kept"), reading("damaged"):
        raise InputError("kept")


# ---- the same pixels by blocks and tables


@settings(max_examples=30, deadline=None)
@given(
    dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32]),
    size=st.sampled_from([5, 300, 70000, 600000]),
    greatest=st.sampled_from([4, 100, 32767]),
)
def test_mapping_by_table_or_block_changes_nothing(dtype, size, greatest):
    values = np.random.default_rng(0).integers(-greatest - 1, greatest + 1, size).astype(dtype).reshape(-1, 5)

    def point(stored: np.ndarray) -> np.ndarray:
        return apply_window(stored, Window(10, 300))

    assert np.array_equal(map_points(values, point), point(values))
    colours = map_points(values, lambda stored: np.stack([point(stored)] * 3, -1), channels=3)
    assert np.array_equal(colours, np.stack([point(values)] * 3, -1))


@settings(deadline=None)
@given(values=st.lists(st.integers(-9, 9), min_size=1, max_size=20), low=st.integers(-9, 9), high=st.integers(-9, 9))
def test_extent(values, low, high):
    kept = [-2 * value + 1 for value in values if not low <= value <= high]
    found = extent(np.array(values), lambda stored: -2 * stored + 1, (low, high))
    assert found == ((min(kept), max(kept)) if kept else None)


# ---- privacy


IDENTIFYING = [
    (0x00080005, "CS", MARKER),
    (0x00080020, "DA", "MARKER"),
    (0x00080030, "TM", "MARKER"),
    (0x00080050, "SH", MARKER),
    (0x00080090, "PN", MARKER),
    (0x00100010, "PN", MARKER),
    (0x00100020, "LO", MARKER),
    (0x00100030, "DA", "1999MARKER"),
    (0x00101010, "AS", "MARKER"),
    (0x00104000, "LT", MARKER),
    (0x0020000D, "UI", MARKER),
    (0x00200013, "IS", "MARKER"),
    (0x00280034, "IS", "MARKER"),
]
BROKEN = {
    "none": {},
    "window": {"WindowCenter": MARKER, "WindowWidth": MARKER},
    "function": {"WindowCenter": 1, "WindowWidth": 2, "VOILUTFunction": "MARKER"},
    "slope": {"RescaleSlope": MARKER, "RescaleIntercept": MARKER},
    "frames": {"NumberOfFrames": MARKER},
    "photometric": {"PhotometricInterpretation": MARKER},
    "rows": {"Rows": MARKER.encode()},
    "table": {"VOILUTSequence": [{"LUTDescriptor": MARKER.encode(), "LUTData": MARKER.encode()}]},
    "item": {"VOILUTSequence": ("SQ", MARKER.encode() * 4)},
    "groups": {"PerFrameFunctionalGroupsSequence": ("SQ", MARKER.encode() * 4)},
    "truncated": {"PixelData": MARKER.encode()},
    "spacing": {"PixelSpacing": MARKER},
    "regions": {"SequenceOfUltrasoundRegions": ("SQ", MARKER.encode() * 4)},
}


def undefined_sequence(tag: int, inner: bytes, syntax: str, vr: str = "SQ") -> bytes:
    """A sequence of undefined length with one item of undefined and one of defined length."""
    endian = ">" if syntax == BIG else "<"

    def mark(mark_tag: int, length: int) -> bytes:
        return struct.pack(f"{endian}HHL", mark_tag >> 16, mark_tag & 0xFFFF, length)

    head = struct.pack(f"{endian}HH", tag >> 16, tag & 0xFFFF)
    head += (b"" if syntax == IMPLICIT else vr.encode() + b"\0\0") + b"\xff\xff\xff\xff"
    items = mark(0xFFFEE000, 0xFFFFFFFF) + inner + mark(0xFFFEE00D, 0) + mark(0xFFFEE000, len(inner)) + inner
    return head + items + mark(0xFFFEE0DD, 0)


def patient_data(syntax: str) -> bytes:
    """Elements before the image's, some nested as deep and as oddly as they come."""
    plain = b"".join(element(tag, vr, value.encode(), syntax) for tag, vr, value in IDENTIFYING)
    name = element(0x00080005, "CS", b"MARKER", syntax) + element(0x00100010, "PN", MARKER.encode(), syntax)
    odd = element(0x00100010, "PN", MARKER.encode(), IMPLICIT)
    nested = undefined_sequence(0x00081115, name, syntax) + element(0x00100010, "PN", MARKER.encode(), syntax)
    found = [undefined_sequence(0x00081110, name + nested, syntax)]
    if syntax == EXPLICIT:
        found.append(undefined_sequence(0x00091010, odd, IMPLICIT).replace(b"\x10\x10", b"\x10\x10UN\0\0", 1))
        found.append(undefined_sequence(0x00091011, odd, syntax))  # implicit VR where explicit is due
    return plain + b"".join(found)


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, RLE, MARKER])
@pytest.mark.parametrize("as_data_set", [False, True])
def test_no_value_of_the_file_ever_leaks(case, syntax, as_data_set, caplog, tmp_path):
    encoding = syntax if syntax in (EXPLICIT, IMPLICIT, BIG) else EXPLICIT
    body = data_set({**header_of(UNSIGNED, "MONOCHROME2"), "PixelData": UNSIGNED.tobytes(), **BROKEN[case]}, encoding)
    after = element(0xFFFCFFFC, "OB", MARKER.encode(), encoding)
    meta = element(0x00020003, "UI", MARKER.encode()) + element(0x00020010, "UI", syntax.encode())
    meta += element(0x00020013, "SH", MARKER.encode()) + element(0x00020016, "AE", MARKER.encode())
    data = b"MARKER" * 20 + bytes(8) + b"DICM" + meta + patient_data(encoding) + body + after
    source: object = tmp_path / "image.dcm"
    source.write_bytes(data)
    if as_data_set:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these are of the caller's own reading
            source = pydicom.dcmread(source)

    said = []
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for frame in dicom_frames(source):
                said += [repr(frame), str(frame.image.info), str(frame.notice)]
                assert b"MARKER" not in frame.image.tobytes()
        except UnreadableImageError as error:
            said += [str(error), repr(error), repr(error.args), "".join(traceback.format_exception(error))]
    # pydicom passes over what is no group of a frame, and an image is read though nothing is known of its scale
    is_read = syntax == encoding and case in ("none", "groups", "spacing", "regions")
    assert len(said) == (3 if is_read else 4)
    said += [str(warning.message) for warning in caught] + [record.getMessage() for record in caplog.records]
    said += [str(record.exc_info) for record in caplog.records if record.exc_info]
    assert not [text for text in said if "MARKER" in text]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_no_value_of_the_patient_is_even_read(syntax):
    chunks = []

    class Recorder(io.BytesIO):
        def read(self, size=-1):
            chunks.append(super().read(size))
            return chunks[-1]

    body = data_set({**header_of(BYTES, "MONOCHROME2"), "PixelData": ("OB", BYTES.tobytes())}, syntax)
    data = dicom_file_of(patient_data(syntax) + body + element(0xFFFCFFFC, "OB", MARKER.encode(), syntax), syntax)
    assert data.count(b"MARKER") > 20
    assert np.array_equal(image(Recorder(data)), BYTES)
    assert not [chunk for chunk in chunks if b"MARKER" in chunk]


def test_broken_sequences_of_undefined_length():
    for inner in (b"", element(0x00100010, "PN", b"A^B")):
        sequence = undefined_sequence(0x00081110, inner, EXPLICIT)
        body = data_set({**header_of(BYTES, "MONOCHROME2"), "PixelData": BYTES.tobytes()})
        assert np.array_equal(image(dicom_file_of(sequence + body)), BYTES)
        assert "damaged" in reason(dicom_file_of(sequence[:-8] + body))
        assert "damaged" in reason(dicom_file_of(sequence[:-5]))
    deep = b""
    for _ in range(3000):
        deep = undefined_sequence(0x00081110, b"", EXPLICIT)[:20] + deep
    assert "damaged" in reason(dicom_file_of(deep))


def test_of_a_data_set_only_what_describes_pixels_is_accessed():
    accessed = set()

    class Watched(pydicom.Dataset):
        def get_item(self, key, **options):
            accessed.add(int(pydicom.tag.Tag(key)))
            return super().get_item(key, **options)

        def __getitem__(self, key):
            accessed.add(int(pydicom.tag.Tag(key)))
            return super().__getitem__(key)

    plain = data_set_of(dicom(UNSIGNED, RescaleSlope=1, RescaleIntercept=0))
    watched = Watched(plain)
    watched.file_meta = plain.file_meta
    watched.PatientName = MARKER
    accessed.clear()
    assert len(images(watched)) == 1
    assert accessed
    assert accessed <= {*TAGS.values(), 0x7FE00008, 0x7FE00009, 0x7FE00010}


def test_every_decoder_that_is_relied_on_is_there():
    for syntax in dicom_file.JPEG + dicom_file.JPEG_2000:
        assert "pylibjpeg" in get_decoder(syntax).available_plugins
    assert "pydicom" in get_decoder(RLE).available_plugins
