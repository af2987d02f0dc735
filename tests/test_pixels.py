from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.pixels import MAX_PIXELS, array_images, is_faint, refuse_size, scale_to_8bit, to_8bit

CHANNELS = {"LA": 2, "PA": 2, "RGB": 3, "RGBA": 4, "RGBa": 4, "RGBX": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3}
GREY = ("1", "L", "LA")
SIXTEEN = {"I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I;16N": "=u2"}
EXACT = np.array([round(Fraction(value, 257)) for value in range(65536)], np.uint8)


def random_image(mode: str, width: int, height: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    if mode == "1":
        return Image.fromarray(random.integers(0, 2, (height, width), np.uint8) * 255).convert("1")
    data = random.integers(0, 256, (height, width, CHANNELS.get(mode, 1)), np.uint8)
    image = Image.frombytes(mode, (width, height), data.tobytes())
    if mode in ("P", "PA"):
        image.putpalette(random.integers(0, 256, 768, np.uint8).tobytes())
    return image


@pytest.mark.filterwarnings("error")
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("mode", ["1", "L", "P", *CHANNELS])
@given(width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_converts_to_the_same_rgb_as_the_image_itself(mode, width, height, seed):
    image = random_image(mode, width, height, seed)
    before = image.tobytes()
    result = to_8bit(image)
    assert result.mode == ("L" if mode in GREY else "RGB")
    assert result.convert("RGB").tobytes() == image.convert("RGB").tobytes()
    assert image.tobytes() == before
    shared = to_8bit(image, share=True)
    assert (shared.mode, shared.tobytes(), shared.info) == (result.mode, result.tobytes(), {})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("mode", "transparency"), [("P", b"\x00\x80\xff"), ("P", 1), ("L", 7), ("RGB", (1, 2, 3))])
def test_a_transparency_entry_changes_nothing(mode, transparency):
    image = random_image(mode, 9, 7, 0)
    expected = image.convert("RGB").tobytes()
    image.info["transparency"] = transparency
    assert to_8bit(image).convert("RGB").tobytes() == expected


def test_alpha_is_dropped_and_orientation_not_applied():
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90°
    assert to_8bit(image).getpixel((0, 0)) == (10, 20, 30)
    assert to_8bit(image).size == (2, 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_no_metadata_and_no_shared_pixels(mode):
    image = Image.new(mode, (3, 2))
    image.info["Patient"] = "DOE^JANE"
    result = to_8bit(image)
    assert result.info == {}
    assert image.info == {"Patient": "DOE^JANE"}
    result.putpixel((0, 0), 255 if result.mode == "L" else (255, 255, 255))
    assert not np.asarray(image).any()


@pytest.mark.parametrize("mode", [*SIXTEEN, "I"])
def test_every_16bit_value_is_scaled_over_the_full_range(mode):
    values = np.arange(65536, dtype=np.int32).reshape(256, 256)
    image = Image.frombytes(mode, (256, 256), values.astype(SIXTEEN.get(mode, "=i4")).tobytes())
    result = to_8bit(image)
    assert result.mode == "L"
    assert np.array_equal(np.asarray(result).reshape(-1), EXACT)


def test_16bit_is_not_stretched_by_its_own_maximum():
    image = Image.fromarray(np.array([[0, 2570]], np.uint16))
    assert np.asarray(to_8bit(image)).tolist() == [[0, 10]]


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536], [-(2**31), 2**31 - 1]])
def test_32bit_values_outside_16_bits_are_refused(values):
    image = Image.fromarray(np.array([values], np.int32))
    assert image.mode == "I"
    with pytest.raises(UnreadableImageError, match=r"outside 0 to 65535 .* save it as 8 or 16 bits"):
        to_8bit(image)


def test_floats_are_refused():
    with pytest.raises(UnreadableImageError, match="no defined range: save it as 8 or 16 bits"):
        to_8bit(Image.new("F", (2, 2)))


def test_a_mode_that_pil_cannot_convert_is_refused():
    with pytest.raises(UnreadableImageError, match="cannot convert mode La to RGB"):
        to_8bit(Image.new("LA", (2, 2)).convert("La"))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_an_image_without_pixels_is_refused(size):
    with pytest.raises(UnreadableImageError, match="no pixels"):
        to_8bit(Image.new("L", size))


def test_the_size_limit():
    refuse_size(MAX_PIXELS, 1)
    refuse_size(1, 1)
    refuse_size(30000, 10)
    with pytest.raises(UnreadableImageError, match=f"67108865 × 1 pixels are more than the {MAX_PIXELS}"):
        refuse_size(MAX_PIXELS + 1, 1)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("I;16", 0, False),
        ("I;16", 1, True),
        ("I;16", 4095, True),
        ("I;16", 4096, False),
        ("I", 4095, True),
        ("L", 9, False),
    ],
)
def test_faint(mode, value, expected):
    assert is_faint(Image.new(mode, (2, 2), value)) is expected


@pytest.mark.parametrize(
    ("shape", "count", "mode", "size"),
    [
        ((4, 5), 1, "L", (5, 4)),
        ((4, 5, 1), 1, "L", (5, 4)),
        ((4, 5, 3), 1, "RGB", (5, 4)),
        ((2, 4, 5), 2, "L", (5, 4)),
        ((5, 4, 5), 5, "L", (5, 4)),
        ((2, 4, 9), 2, "L", (9, 4)),
        ((2, 4, 5, 1), 2, "L", (5, 4)),
        ((2, 4, 5, 3), 2, "RGB", (5, 4)),
        ((1, 1), 1, "L", (1, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2"])
def test_array_shapes(shape, count, mode, size, dtype):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    images = array_images(array)
    assert [(image.mode, image.size) for image in images] == [(mode, size)] * count
    expected = array if array.dtype == np.uint8 else EXACT[array]
    pixels = np.stack([np.asarray(image) for image in images])
    assert np.array_equal(pixels.reshape(expected.shape), expected)


@settings(deadline=None)
@given(array=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))), data=st.data())
def test_any_memory_layout(array, data):
    view = array[:: data.draw(st.sampled_from([1, -1, 2])), ::-1]
    (image,) = array_images(view)
    assert np.array_equal(np.asarray(image), view)


def test_images_share_no_memory_with_the_array():
    array = np.zeros((3, 4), np.uint8)
    (image,) = array_images(array)
    array[:] = 9
    assert not np.asarray(image).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_are_refused(dtype):
    with pytest.raises(InputError, match=r"no defined grey range: pass uint8 or uint16 .* Model\.run"):
        array_images(np.zeros((2, 2), dtype))


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.int16, np.int32, np.uint32, np.uint64, object, "U1", complex])
def test_other_types_are_refused(dtype):
    with pytest.raises(InputError, match="expected an array of uint8 or uint16, but found"):
        array_images(np.zeros((2, 2), dtype))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 2), (2, 3, 4, 5), (1, 2, 3, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="expected an array of shape"):
        array_images(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 4, 5), (4, 0, 3), (0, 4, 5, 3)])
def test_empty_arrays_are_refused(shape):
    with pytest.raises(InputError, match="is empty"):
        array_images(np.zeros(shape, np.uint8))


def test_an_array_over_the_limit_is_refused():
    huge = np.broadcast_to(np.uint8(0), (MAX_PIXELS, 2))
    with pytest.raises(UnreadableImageError, match="pixels are more than"):
        array_images(huge)


@settings(max_examples=300, deadline=None)
@given(bits=st.integers(1, 32), data=st.data())
def test_scaling_is_exact(bits, data):
    maximum = 2**bits - 1
    values = data.draw(st.lists(st.integers(0, maximum), min_size=1, max_size=20))
    expected = [round(Fraction(value * 255, maximum)) for value in [*values, maximum]]
    assert scale_to_8bit(np.array([*values, maximum], np.uint32), maximum).tolist() == expected


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((9, 8, 4), "alpha"), ((9, 8, 2), "alpha"), ((3, 9, 8), "channel-first"), ((1, 9, 8), "channel-first")],
)
def test_arrays_that_may_mean_two_things_are_refused(shape, reason):
    with pytest.raises(InputError, match=reason):
        array_images(np.zeros(shape, np.uint8))
