from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from radiodino.runtime.decode import FORMATS, decode
from radiodino.runtime.dicom.frames import NOT_WINDOWED, dicom_frames
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.frame import Frame, Window
from radiodino.runtime.pixels import FAINT, MAX_PIXELS

RANDOM = np.random.default_rng(0)
RGB = Image.fromarray(RANDOM.integers(0, 256, (24, 31, 3), np.uint8))
GREY = RGB.convert("L")
DEEP = Image.fromarray(RANDOM.integers(0, 65536, (24, 31)).astype(np.uint16))

SAVED: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
    "rgb.png": (RGB, "PNG", {}),
    "grey.png": (GREY, "PNG", {}),
    "bilevel.png": (RGB.convert("1"), "PNG", {}),
    "palette.png": (RGB.quantize(16), "PNG", {"transparency": b"\x00\x80"}),
    "alpha.png": (RGB.convert("RGBA"), "PNG", {}),
    "grey_alpha.png": (RGB.convert("LA"), "PNG", {}),
    "rgb.jpg": (RGB, "JPEG", {}),
    "progressive.jpg": (GREY, "JPEG", {"progressive": True}),
    "cmyk.jpg": (RGB.convert("CMYK"), "JPEG", {}),
    "raw.tif": (RGB, "TIFF", {}),
    "lzw.tif": (GREY, "TIFF", {"compression": "tiff_lzw"}),
    "deflate.tif": (RGB.quantize(16), "TIFF", {"compression": "tiff_adobe_deflate"}),
    "group4.tif": (RGB.convert("1"), "TIFF", {"compression": "group4"}),
    "lab.tif": (Image.frombytes("LAB", (5, 4), bytes(range(60))), "TIFF", {}),
    "grey.bmp": (GREY, "BMP", {}),
    "rgb.bmp": (RGB, "BMP", {}),
    "one.gif": (RGB.quantize(16), "GIF", {}),
    "lossy.webp": (RGB, "WEBP", {}),
    "alpha.webp": (RGB.convert("RGBA"), "WEBP", {"lossless": True}),
    "rgb.jp2": (RGB, "JPEG2000", {}),
    "grey.j2k": (GREY, "JPEG2000", {"no_jp2": True}),
    "rgb.ppm": (RGB, "PPM", {}),
    "grey.pgm": (GREY, "PPM", {}),
    "bilevel.pbm": (RGB.convert("1"), "PPM", {}),
}
DEEP_SAVED: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
    "deep.png": (DEEP, "PNG", {}),
    "deep.tif": (DEEP, "TIFF", {}),
    "deep_big_endian.tif": (Image.frombytes("I;16B", DEEP.size, np.asarray(DEEP).astype(">u2").tobytes()), "TIFF", {}),
    "deep.pgm": (DEEP.convert("I"), "PPM", {}),
}


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.copy().save(stream, image_format, **options)  # saving leaves settings behind in the image
    return stream.getvalue()


def saved(name: str) -> bytes:
    image, image_format, options = {**SAVED, **DEEP_SAVED}[name]
    return encoded(image, image_format, **options)


def one(source: object, **options: object) -> Frame:
    (frame,) = decode(source, **options)
    return frame


def pixels(source: object, **options: object) -> list[np.ndarray]:
    return [np.asarray(frame.image) for frame in decode(source, **options)]


def reason(source: object, **options: object) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        list(decode(source, **options))
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG file that promises more than it holds."""
    chunks = (
        (b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    )
    parts = [
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# ---- what is decoded


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SAVED)
def test_every_format_as_the_model_card_opens_it(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(saved(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the transparency of a palette
        expected = np.asarray(Image.open(path).convert("RGB"))
    for source in (
        path,
        str(path),
        saved(name),
        bytearray(saved(name)),
        memoryview(saved(name)),
        io.BytesIO(saved(name)),
    ):
        frame = one(source)
        assert frame.image.mode in ("L", "RGB")
        assert type(frame.image) is Image.Image
        assert frame.image.info == {}
        assert np.array_equal(np.asarray(frame.image.convert("RGB")), expected)
        assert (frame.number, frame.notice) == (None, None)


@pytest.mark.parametrize("name", DEEP_SAVED)
def test_16bit_grey_is_scaled(name):
    frame = one(saved(name))
    assert np.array_equal(np.asarray(frame.image), np.rint(np.asarray(DEEP) / 257.0))
    assert (frame.image.mode, frame.notice) == ("L", None)


def test_a_name_decides_nothing(tmp_path):
    for name in ("image.png", "image", "image.jpeg", "image.txt"):
        (tmp_path / name).write_bytes(saved("rgb.bmp"))
        assert np.array_equal(np.asarray(one(tmp_path / name).image), np.asarray(RGB))


@pytest.mark.parametrize("shape", [(1, 1), (10, 30000), (30000, 10), (5900, 4700)])
def test_extreme_and_mammographic_sizes(shape):
    values = np.zeros(shape, np.uint8)
    values[0, -1] = 200
    assert np.array_equal(np.asarray(one(encoded(Image.fromarray(values), "PNG", compress_level=1)).image), values)


def test_pil_images():
    frame = one(RGB)
    assert np.array_equal(np.asarray(frame.image), np.asarray(RGB))
    assert frame.image is not RGB
    assert one(Image.open(io.BytesIO(saved("grey.png")))).image.mode == "L"
    assert one(RGB, frame=1).number is None
    assert "it holds one frame" in reason(RGB, frame=2)
    assert "damaged or truncated" in reason(Image.open(io.BytesIO(saved("rgb.png")[:-60])))
    assert "no defined range" in reason(Image.new("F", (2, 2)))
    assert "no pixels" in reason(Image.new("L", (0, 2)))
    second = Image.open(io.BytesIO(encoded(RGB, "TIFF", save_all=True, append_images=[GREY])))
    second.seek(1)
    assert np.array_equal(np.asarray(one(second).image), np.asarray(GREY))


def test_arrays():
    stack = RANDOM.integers(0, 256, (4, 8, 9)).astype(np.uint8)
    frames = list(decode(stack))
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    assert np.array_equal([np.asarray(frame.image) for frame in frames], stack)
    assert np.array_equal(np.asarray(one(stack, frame=2).image), stack[1])
    assert one(stack, frame=2).number == 2
    assert one(stack[0]).number is None
    assert "choose one from 1 to 4" in reason(stack, frame=5)
    with pytest.raises(InputError, match="no defined grey range"):
        list(decode(stack / 255))


def test_faint_16bit_images_are_said():
    twelve_bits = np.asarray(DEEP) >> 4
    for source in (twelve_bits, Image.fromarray(twelve_bits), encoded(Image.fromarray(twelve_bits), "PNG")):
        frame = one(source)
        assert frame.notice == FAINT
        assert np.array_equal(np.asarray(frame.image), np.rint(twelve_bits / 257.0))
        assert one(source, window=Window(40, 400)).notice == f"{FAINT}; {NOT_WINDOWED}"
    assert one(np.zeros((3, 4), np.uint16)).notice is None


@pytest.mark.parametrize("source", [RGB, np.asarray(RGB), saved("rgb.png")])
def test_a_window_that_is_not_used_is_said(source):
    frame = one(source, window=Window(40, 400))
    assert frame.notice == NOT_WINDOWED
    assert np.array_equal(np.asarray(frame.image), np.asarray(RGB))


# ---- pages


def animated(image_format: str) -> tuple[bytes, list[np.ndarray]]:
    others = [RGB.transpose(Image.Transpose.FLIP_LEFT_RIGHT), RGB.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    options = {"WEBP": {"lossless": True}}.get(image_format, {})
    data = encoded(RGB, image_format, save_all=True, append_images=others, **options)
    expected = []
    with Image.open(io.BytesIO(data)) as image:
        for page in range(image.n_frames):
            image.seek(page)
            expected.append(np.asarray(image.convert("RGB")))
    assert len(expected) == 3
    return data, expected


@pytest.mark.parametrize("image_format", ["TIFF", "GIF", "PNG", "WEBP"])
def test_every_page_is_a_frame(image_format):
    data, expected = animated(image_format)
    frames = list(decode(data))
    assert [frame.number for frame in frames] == [1, 2, 3]
    for number in (3, 1, 2):
        frame = one(data, frame=number)
        assert frame.number == number
        assert np.array_equal(np.asarray(frame.image.convert("RGB")), expected[number - 1])
        assert np.array_equal(np.asarray(frames[number - 1].image), np.asarray(frame.image))
    assert reason(data, frame=4) == "frame 4 was asked for, but it holds 3 frames: choose one from 1 to 3"


def test_pages_may_differ_in_size_and_mode():
    data = encoded(RGB, "TIFF", save_all=True, append_images=[DEEP, GREY.crop((0, 0, 7, 5))])
    frames = list(decode(data))
    assert [(frame.image.mode, frame.image.size) for frame in frames] == [
        ("RGB", (31, 24)),
        ("L", (31, 24)),
        ("L", (7, 5)),
    ]


def test_previews_after_a_jpeg_are_not_decoded():
    data = encoded(RGB, "MPO", save_all=True, append_images=[GREY.convert("RGB")])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    frame = one(data)
    assert frame.number is None
    assert np.array_equal(np.asarray(frame.image), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_single_image_has_frame_1():
    assert one(saved("rgb.png"), frame=1).number is None
    assert reason(saved("rgb.png"), frame=2) == "frame 2 was asked for, but it holds one frame: choose frame 1 or none"


@pytest.mark.parametrize("frame", [0, -1, True, 1.5, "1"])
def test_what_is_no_frame_number_is_refused_at_once(frame):
    with pytest.raises(InputError, match="frames are counted from 1"):
        decode(saved("rgb.png"), frame=frame)


def test_frames_before_a_damaged_one_are_yielded():
    data = encoded(RGB, "TIFF", save_all=True, append_images=[RGB], compression="tiff_lzw")
    frames = decode(_damage_second_page(data))
    assert next(frames).number == 1
    with pytest.raises(UnreadableImageError, match="TIFF data are damaged"):
        next(frames)


def _damage_second_page(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        (start,), (length,) = image.tag_v2[273], image.tag_v2[279]
    return data[:start] + b"\xff" * length + data[start + length :]


# ---- DICOM


def local_file(name: str) -> str:
    path = get_testdata_file(f"{name}.dcm", download=False)
    if path is None:
        pytest.skip(f"this pydicom brings no {name}.dcm")
    return path


@pytest.mark.parametrize("name", ["CT_small", "MR_small_RLE", "SC_rgb_small_odd", "rtdose", "image_dfl"])
def test_dicom_is_known_by_its_content(name, tmp_path):
    path = local_file(name)
    data = Path(path).read_bytes()
    disguised = tmp_path / "image.png"
    disguised.write_bytes(data)
    expected = list(dicom_frames(path))
    for source in (path, Path(path), data, io.BytesIO(data), disguised, pydicom.dcmread(path)):
        frames = list(decode(source))
        assert [(frame.number, frame.notice) for frame in frames] == [
            (frame.number, frame.notice) for frame in expected
        ]
        for frame, other in zip(frames, expected, strict=True):
            assert np.array_equal(np.asarray(frame.image), np.asarray(other.image))


def test_window_and_frame_reach_dicom():
    path = local_file("CT_small")
    (expected,) = dicom_frames(path, window=Window(40, 400))
    assert np.array_equal(np.asarray(one(path, window=Window(40, 400)).image), np.asarray(expected.image))
    assert one(path, window=Window(40, 400)).notice is None
    assert one(local_file("rtdose"), frame=7).number == 7


@pytest.mark.parametrize("name", ["image.dcm", "IMAGE.DCM", "image.dicom"])
@pytest.mark.parametrize("content", [b"text", saved("rgb.png"), bytes(500)])
def test_files_called_dicom_that_are_none(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    assert "it is no DICOM file, for 'DICM' is missing at byte 128" in reason(path)


def test_a_tiff_and_dicom_file_in_one_is_dicom():
    data = Path(local_file("CT_small")).read_bytes()
    assert one(b"II*\0" + data[4:]).image.size == (128, 128)


# ---- what is refused


def test_paths_that_cannot_be_opened(tmp_path):
    missing = tmp_path / "none.png"
    with pytest.raises(UnreadableImageError, match="there is no such file") as caught:
        list(decode(missing))
    assert caught.value.source == str(missing)
    assert str(caught.value) == f"cannot read {missing}: there is no such file"
    assert reason(tmp_path) == "it is a folder, not a file"
    assert reason("a\0b.png") == "it is no valid path"
    assert reason(missing / "deeper.png")
    assert reason(str(tmp_path / ("x" * 300)))
    empty = tmp_path / "empty.png"
    empty.touch()
    assert reason(empty) == "the file is empty"
    assert reason(b"") == "the file is empty"
    assert reason(io.BytesIO()) == "the file is empty"


@pytest.mark.skipif(
    os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root may read everything"
)
def test_a_path_without_permission(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(saved("rgb.png"))
    path.chmod(0)
    assert reason(path) == "permission denied"


@pytest.mark.parametrize(
    "content",
    [
        b"patient,age\n1,2\n",
        b"\0",
        b"GIF",
        b"%PDF-1.4",
        b"PK\x03\x04" + bytes(99),
        b"\x7fELF",
        bytes(200),
        b"RIFF" + bytes(8) + b"WAVE",
    ],
)
def test_what_is_no_image(content, tmp_path):
    path = tmp_path / "renamed.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError) as caught:
        list(decode(path))
    assert caught.value.reason == f"it is not an image of a known format (DICOM, {', '.join(FORMATS)})"
    assert caught.value.source == str(path)


@pytest.mark.parametrize("other", ["TGA", "PCX", "ICNS", "EPS", "PDF", "SGI", "ICO"])
def test_other_formats_of_pil_are_not_known(other):
    assert "not an image of a known format" in reason(encoded(RGB.resize((32, 32)), other))


@pytest.mark.parametrize("source", [None, 5, ["a.png"], {"a": 1}, object()])
def test_what_is_no_source(source):
    with pytest.raises(InputError, match="expected a path, bytes, a binary stream"):
        list(decode(source))


def test_streams(tmp_path):
    data = saved("rgb.png")

    class Pipe(io.RawIOBase):
        """A stream that cannot seek, as of a socket."""

        def __init__(self) -> None:
            self.left = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            return self.left.readinto(buffer)

    assert np.array_equal(np.asarray(one(Pipe()).image), np.asarray(RGB))
    stream = io.BytesIO(data)
    stream.seek(50)
    assert np.array_equal(np.asarray(one(stream).image), np.asarray(RGB))
    assert not stream.closed
    stream.close()
    with pytest.raises(InputError, match="the stream is closed"):
        list(decode(stream))
    with pytest.raises(InputError, match="open the file with mode 'rb'"):
        list(decode(io.StringIO("text")))
    path = tmp_path / "image.png"
    path.write_bytes(data[:-60])
    with path.open("rb") as file, pytest.raises(UnreadableImageError) as caught:
        list(decode(file))
    assert caught.value.source == str(path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", data)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.png") as member:
        assert np.array_equal(np.asarray(one(member).image), np.asarray(RGB))


def test_a_failing_disk_is_told_from_a_damaged_file():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 200:
                raise OSError(5, "Input/output error")
            return super().read(min(size, 200) if size > 0 else 200)

    assert reason(Failing(saved("rgb.bmp"))) == "it cannot be read (Input/output error)"


def test_files_are_closed(tmp_path):
    path = tmp_path / "image.tif"
    path.write_bytes(encoded(RGB, "TIFF", save_all=True, append_images=[GREY]))
    script = f"""
import gc, warnings
warnings.simplefilter("error")
from radiodino.runtime.decode import decode
list(decode({str(path)!r}))
next(decode({str(path)!r}))
gc.collect()
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pydicom_is_imported_only_for_dicom():
    script = """
import sys, numpy
from radiodino.runtime.decode import decode
assert list(decode(numpy.zeros((2, 2), "uint8")))
assert "pydicom" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


# ---- size


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("width", "height"), [(20000, 20000), (12000, 12000), (9500, 9500), (2**31 - 1, 2**31 - 1), (2**26 + 1, 1)]
)
def test_bombs_are_refused_from_the_header_without_a_warning(width, height):
    assert f"{width} × {height} pixels are more than the {MAX_PIXELS}" in reason(png_header(width, height))


@pytest.mark.filterwarnings("error")
def test_a_large_page_within_a_file_is_refused():
    data = bytearray(encoded(GREY, "TIFF", save_all=True, append_images=[GREY, GREY]))
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        entry = bytes(data).index(struct.pack("<HHL", 256, 4, 1), image._frame_pos[1])
    data[entry + 8 : entry + 12] = struct.pack("<L", 2**26)
    frames = decode(bytes(data))
    assert next(frames).number == 1
    with pytest.raises(UnreadableImageError, match="pixels are more than"):
        next(frames)


@pytest.mark.filterwarnings("error")
def test_the_largest_images_are_accepted_without_a_warning():
    assert Image.MAX_IMAGE_PIXELS is not None
    assert MAX_PIXELS < Image.MAX_IMAGE_PIXELS
    side = 2**13
    assert side * side == MAX_PIXELS
    data = encoded(Image.new("1", (side, side), 1), "TIFF", compression="group4")
    image = one(data).image
    assert image.size == (side, side)
    assert image.getextrema() == (255, 255)


# ---- damage


def acceptable(data: bytes) -> list[bytes] | None:
    """The pixels of `data`, or None where it is refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [frame.image.tobytes() for frame in decode(data)]
        except UnreadableImageError as error:
            return None if error.reason else []


@pytest.mark.parametrize("name", [*SAVED, *DEEP_SAVED])
def test_truncated_files_are_refused_or_whole(name):
    """Cut anywhere, a file yields all its pixels or none."""
    data = saved(name)
    expected = acceptable(data)
    assert expected
    ends = {*range(min(len(data), 100)), *range(0, len(data), 13), *range(max(len(data) - 40, 0), len(data))}
    refused = 0
    for end in ends:
        found = acceptable(data[:end])
        assert found in (None, expected)
        refused += found is None
    assert refused > 0.8 * len(ends)


DICOM_NAMES = (
    "CT_small",
    "MR_small_RLE",
    "MR_small_jp2klossless",
    "SC_rgb_small_odd",
    "image_dfl",
    "rtdose",
    "examples_ybr_color",
)


@pytest.mark.parametrize("name", DICOM_NAMES)
def test_truncated_dicom_files_are_refused_or_whole(name):
    data = Path(local_file(name)).read_bytes()
    expected = acceptable(data)
    assert expected
    for end in range(0, len(data), max(1, len(data) // 150)):
        assert acceptable(data[:end]) in (None, expected)


FUZZED = {
    name: saved(name)
    for name in (
        "rgb.png",
        "palette.png",
        "deep.png",
        "rgb.jpg",
        "progressive.jpg",
        "raw.tif",
        "lzw.tif",
        "group4.tif",
        "deep.tif",
        "rgb.bmp",
        "one.gif",
        "lossy.webp",
        "rgb.jp2",
        "rgb.ppm",
    )
}
FUZZED["pages.tif"] = encoded(RGB, "TIFF", save_all=True, append_images=[GREY])
FUZZED["animated.gif"] = animated("GIF")[0]
FUZZED["animated.png"] = animated("PNG")[0]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes changed, mostly near the start where headers are, or cut, or both."""
    changed = bytearray(data)
    positions = st.one_of(st.integers(0, min(len(data), 400) - 1), st.integers(0, len(data) - 1))
    for position in draw(st.lists(positions, max_size=6)):
        changed[position] = draw(st.one_of(st.sampled_from([0, 255, 127, 128]), st.integers(0, 255)))
    return bytes(changed[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("name", FUZZED)
@given(data=st.data())
def test_nothing_but_unreadable_escapes_damaged_images(name, data):
    acceptable(data.draw(damaged(FUZZED[name])))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize(
    "name",
    [
        "CT_small",
        "MR_small_implicit",
        "MR_small_bigendian",
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "image_dfl",
        "rtdose_1frame",
        "SC_rgb_small_odd",
        "examples_palette",
        "liver_1frame",
    ],
)
@given(data=st.data())
def test_nothing_but_unreadable_escapes_damaged_dicom(name, data):
    acceptable(data.draw(damaged(Path(local_file(name)).read_bytes())))


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=99).map(lambda data: bytes(128) + b"DICM" + data)))
def test_nothing_but_unreadable_escapes_arbitrary_bytes(data):
    acceptable(data)


def test_damage_names_the_format():
    assert reason(saved("rgb.png")[:-60]) == "its PNG data are damaged or truncated"
    assert reason(saved("rgb.jpg")[:-200]) == "its JPEG data are damaged or truncated"
    assert reason(saved("raw.tif")[:-200]) == "its TIFF data are damaged or truncated"
    assert reason(b"\x89PNG\r\n\x1a\n" + bytes(50)) == "its PNG data are damaged or truncated"


# ---- threads


@pytest.mark.filterwarnings("error")
def test_many_threads_decode_at_once():
    sources = [saved(name) for name in (*SAVED, *DEEP_SAVED)]
    sources += [animated("GIF")[0], png_header(20000, 20000)]
    names = (
        "CT_small",
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "examples_palette",
        "image_dfl",
        "SC_rgb_jpeg_dcmtk",
        "examples_ybr_color",
        "MR_truncated",
        "test-SR",
    )
    sources += [Path(local_file(name)).read_bytes() for name in names]
    sources.append(np.asarray(RGB))

    def run(source: object) -> list[bytes] | str:
        try:
            return [frame.image.tobytes() for frame in decode(source)]
        except UnreadableImageError as error:
            return error.reason

    expected = [run(source) for source in sources]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, sources * 6)) == expected * 6


def test_threads_may_be_the_first_to_import_pydicom():
    names = ("CT_small", "MR_small_RLE", "SC_rgb_jpeg_dcmtk", "image_dfl")
    script = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from radiodino.runtime.decode import decode
assert "pydicom" not in sys.modules
sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(lambda path: len(list(decode(path))), {[local_file(name) for name in names] * 4!r}))
assert results == [1] * 16, results
"""
    subprocess.run([sys.executable, "-c", script], check=True)


# ---- real images


def test_real_images_are_as_the_model_card_opens_them(data_dir):
    with zipfile.ZipFile(data_dir / "busi_256.zip") as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".jpg")][::60]
        assert names
        for name in names:
            data = archive.read(name)
            expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            frame = one(data)
            assert frame.notice is None
            assert np.array_equal(np.asarray(frame.image.convert("RGB")), expected)
