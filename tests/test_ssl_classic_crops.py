from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from radiodino.runtime.errors import InputError, MissingExtraError

torch = pytest.importorskip("torch")
tv = pytest.importorskip("torchvision.transforms.functional")

from radiodino.train.ssl.classic_crops import classic_crop, classic_crops  # noqa: E402
from radiodino.train.ssl.crop_parameters import CropParameters, draw_global  # noqa: E402
from radiodino.train.ssl.crop_settings import DINO_CROPS, DINOV2_CROPS, CropSettings  # noqa: E402

SMALL = replace(DINO_CROPS, global_size=48, local_size=16)


def make_image(mode="L", width=60, height=50, seed=0):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = 90 + 70 * np.sin(x / 7 + y / 11) + random.normal(0, 10, (height, width))
    colours = [grey, 255 - grey, 0.5 * grey + 60]
    pixels = grey if mode == "L" else np.stack(colours, axis=-1)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def parameters(**changes):
    """One view of one sample: the whole image, nothing else; then `changes`."""
    plain = {
        "boxes": torch.tensor([[[0, 0, 50, 60]]]),
        "flips": torch.tensor([[False]]),
        "order": torch.arange(4).reshape(1, 1, 4),
        "factors": torch.tensor([[[1.0, 1.0, 1.0, 0.0]]]),
        "greys": torch.tensor([[False]]),
        "sigmas": torch.tensor([[0.0]]),
        "solarised": torch.tensor([[False]]),
    }
    return CropParameters(**{**plain, **changes})


def normalised(image, settings=SMALL):
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255
    return (pixels - torch.tensor(settings.mean)[:, None, None]) / torch.tensor(settings.std)[:, None, None]


def assert_is(found, image):
    torch.testing.assert_close(found, normalised(image), rtol=0, atol=1e-5)


def resized(image):
    return image.resize((48, 48), Image.Resampling.BICUBIC)


def test_the_crops_and_their_sizes():
    for image in (make_image("L"), make_image("RGB")):
        found = classic_crops(image, SMALL, torch.Generator().manual_seed(0))
        assert [tuple(crop.shape) for crop in found] == [(3, 48, 48)] * 2 + [(3, 16, 16)] * 8
        assert {crop.dtype for crop in found} == {torch.float32}
        assert all(torch.isfinite(crop).all() for crop in found)


@pytest.mark.parametrize("settings", [SMALL, replace(DINOV2_CROPS, global_size=48, local_size=14)])
def test_a_grey_image_gives_the_crops_of_three_equal_channels_bit_for_bit(settings):
    image = make_image("L")
    for seed in range(10):
        grey = classic_crops(image, settings, torch.Generator().manual_seed(seed))
        colour = classic_crops(image.convert("RGB"), settings, torch.Generator().manual_seed(seed))
        assert all(torch.equal(one, other) for one, other in zip(grey, colour, strict=True))


def test_the_same_state_gives_the_same_crops():
    image = make_image("RGB")
    one, same, other = (classic_crops(image, SMALL, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("mode", ["L", "RGB"])
class TestEachStep:
    def test_nothing(self, mode):
        image = make_image(mode)
        assert_is(classic_crop(image, parameters(), 0, 48, SMALL), resized(image))

    def test_box(self, mode):
        image = make_image(mode)
        found = classic_crop(image, parameters(boxes=torch.tensor([[[5, 10, 20, 30]]])), 0, 48, SMALL)
        assert_is(found, resized(image.crop((10, 5, 40, 25))))

    def test_flip(self, mode):
        image = make_image(mode)
        found = classic_crop(image, parameters(flips=torch.tensor([[True]])), 0, 48, SMALL)
        assert_is(found, ImageOps.mirror(resized(image)))

    def test_jitter_in_its_order(self, mode):
        image = make_image(mode)
        order, factors = torch.tensor([[[2, 1, 3, 0]]]), torch.tensor([[[1.3, 0.7, 1.2, 0.08]]])
        found = classic_crop(image, parameters(order=order, factors=factors), 0, 48, SMALL)
        expected = tv.adjust_contrast(tv.adjust_saturation(resized(image), factors[0, 0, 2]), factors[0, 0, 1])
        expected = tv.adjust_brightness(tv.adjust_hue(expected, 0.08), factors[0, 0, 0])
        assert_is(found, expected)
        assert not torch.equal(found, classic_crop(image, parameters(factors=factors), 0, 48, SMALL))

    def test_loss_of_colour(self, mode):
        image = make_image(mode)
        found = classic_crop(image, parameters(greys=torch.tensor([[True]])), 0, 48, SMALL)
        assert_is(found, resized(image).convert("L"))

    def test_blur(self, mode):
        image, sigma = make_image(mode), torch.tensor([[1.5]])
        found = classic_crop(image, parameters(sigmas=sigma), 0, 48, SMALL)
        assert_is(found, resized(image).filter(ImageFilter.GaussianBlur(1.5)))
        other = classic_crop(image, parameters(sigmas=sigma), 0, 48, replace(SMALL, blur_taps=9))
        assert_is(other, tv.gaussian_blur(resized(image), [9, 9], [1.5, 1.5]))
        assert not torch.equal(found, other)

    @pytest.mark.parametrize("threshold", [128, 60])
    def test_solarisation(self, mode, threshold):
        image = make_image(mode)
        settings = replace(SMALL, solarise_threshold=threshold)
        found = classic_crop(image, parameters(solarised=torch.tensor([[True]])), 0, 48, settings)
        assert_is(found, ImageOps.solarize(resized(image), threshold))


def test_everything_in_the_official_order():
    image = make_image("RGB")
    changes = {
        "flips": torch.tensor([[True]]),
        "factors": torch.tensor([[[1.2, 1.0, 1.0, 0.0]]]),
        "greys": torch.tensor([[True]]),
        "sigmas": torch.tensor([[1.0]]),
        "solarised": torch.tensor([[True]]),
    }
    expected = ImageOps.grayscale(tv.adjust_brightness(ImageOps.mirror(resized(image)), torch.tensor(1.2)))
    expected = ImageOps.solarize(expected.convert("RGB").filter(ImageFilter.GaussianBlur(1.0)), 128)
    assert_is(classic_crop(image, parameters(**changes), 0, 48, SMALL), expected)


def test_takes_the_view_that_is_asked_for():
    image = make_image()
    drawn = draw_global(SMALL, 1, 50, 60, torch.Generator().manual_seed(3))
    one, other = (classic_crop(image, drawn, view, 48, SMALL) for view in range(2))
    found = classic_crops(image, replace(SMALL, local_count=0), torch.Generator().manual_seed(3))
    assert len(found) == 2
    assert torch.equal(found[0], one)
    assert torch.equal(found[1], other)


def test_normalises_with_the_settings():
    settings = CropSettings(global_size=48, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    image = make_image("RGB")
    torch.testing.assert_close(classic_crop(image, parameters(), 0, 48, settings), normalised(resized(image), settings))


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "1"])
def test_refuses_another_mode(mode):
    with pytest.raises(InputError, match=f"must be of mode L or RGB, found {mode}: convert it"):
        classic_crops(Image.new(mode, (60, 50)), SMALL, torch.Generator())


def test_torchvision_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"torchvision is not installed: .*train"):
        classic_crops(make_image(), SMALL, torch.Generator())
