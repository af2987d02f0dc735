from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import ModelFileError
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.pixels import to_8bit
from radiodino.runtime.preprocessing import Preprocessor

CARD = Preprocessor(Preprocessing())
KINDS = ("JPEG L", "JPEG RGB", "PNG L", "PNG RGB", "PNG P", "PNG LA", "PNG RGBA", "PNG 1", "TIFF CMYK")
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")


def model_card(image: Image.Image) -> np.ndarray:
    """The model card's own lines."""
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    transform = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    return transform(image.convert("RGB")).numpy()


@settings(max_examples=40, deadline=None)
@given(mode=st.sampled_from(MODES), width=st.integers(1, 500), height=st.integers(1, 500), seed=st.integers(0, 99))
def test_bit_identical_to_the_model_card(mode, width, height, seed):
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (height, width, 4), np.uint8)).convert("RGB").convert(mode)
    expected = model_card(image)
    assert np.array_equal(CARD(to_8bit(image)), expected)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    seed=st.integers(0, 99),
)
def test_from_a_file_on_it_is_bit_identical_to_the_model_card(kind, width, height, seed):
    image_format, mode = kind.split()
    random = np.random.default_rng(seed)
    smooth = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).resize((width, height))
    stream = BytesIO()
    smooth.convert(mode).save(stream, image_format)
    (frame,) = decode(stream.getvalue())
    assert np.array_equal(CARD(frame.image), model_card(Image.open(stream)))


def test_every_value_is_bit_identical_to_torchvision():
    """Also of other ranges, means and deviations than the card's: the arithmetic is torch's, operation by operation."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colour = np.stack([values, values.T, 255 - values], axis=-1)
    for low, high, mean, std in ((0.0, 1.0, (0.1, 0.5, 0.7), (0.3, 0.22, 1.7)), (-1.0, 1.0, (0.5, 0, 0), (0.5, 1, 3))):
        changed = Preprocessing(resize=(16, 16), value_range=(low, high), mean=mean, std=std)
        scaled = torch.from_numpy(colour).permute(2, 0, 1).float().div(255)
        if (low, high) != (0.0, 1.0):
            scaled = scaled * torch.tensor(high - low) + torch.tensor(low)
        expected = scaled.sub(torch.tensor(mean)[:, None, None]).div(torch.tensor(std)[:, None, None])
        assert np.array_equal(Preprocessor(changed)(Image.fromarray(colour)), expected.numpy())


@pytest.mark.parametrize("size", [(30000, 10), (10, 30000), (1, 1), (224, 224)])
def test_extreme_shapes_are_bit_identical_too(size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0]), np.uint8))
    assert np.array_equal(CARD(to_8bit(image)), model_card(image))


def test_grey_equals_three_equal_channels():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (333, 211), np.uint8))
    assert np.array_equal(CARD(image), CARD(image.convert("RGB")))


def test_result_is_a_new_contiguous_float32_array():
    image = Image.new("L", (5, 5), 255)
    first, second = CARD(image), CARD(image)
    assert first.dtype == np.float32
    assert first.shape == (3, 224, 224)
    assert first.flags.c_contiguous
    assert first is not second
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert np.allclose(first[:, 0, 0], expected, atol=1e-6)


def test_other_settings_are_obeyed():
    settings = Preprocessing(
        resize=(8, 6), interpolation="nearest", value_range=(-1.0, 1.0), mean=(0.0,) * 3, std=(1.0,) * 3
    )
    result = Preprocessor(settings)(Image.new("L", (3, 3), 255))
    assert result.shape == (3, 8, 6)
    assert np.array_equal(result, np.ones((3, 8, 6), np.float32))


@pytest.mark.parametrize("changed", [{"std": (0.0, 1.0, 1.0)}, {"resize": (0, 5)}])
def test_impossible_settings_are_refused(changed):
    with pytest.raises(ModelFileError, match="cannot be"):
        Preprocessor(Preprocessing(**changed))


@pytest.mark.parametrize("changed", [{"mode": "L"}, {"interpolation": "area"}])
def test_unknown_settings_are_refused(changed):
    with pytest.raises(ModelFileError, match="upgrade radiodino"):
        Preprocessor(Preprocessing(**changed))
