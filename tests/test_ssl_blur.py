from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

torch = pytest.importorskip("torch")
tv = pytest.importorskip("torchvision.transforms.functional")

from radiodino.train.ssl.blur import blur, blur_bands  # noqa: E402

SIGMAS = [0.1, 0.3, 0.5, 0.79, 1.0, 1.2, 1.4142, 1.4143, 1.8, 2.0]


def matrices(sigmas, size, taps=None, largest=2.0):
    bands = blur_bands(torch.tensor(sigmas), size, taps, largest)
    return torch.zeros(len(sigmas), size, size).scatter_add_(2, bands.index, bands.weights)


def make_images(count, channels, size, seed=0):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def three_boxes(line, sigma):
    """Three box filters, the edge repeated before each, one value at a time in float64."""
    variance = sigma * sigma / 3
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    # The fraction of the outermost weights for which the box has the variance that is wanted.
    inner = sum(d * d for d in range(-whole, whole + 1))
    part = (variance * (2 * whole + 1) - inner) / (2 * (whole + 1) ** 2 - 2 * variance)
    weights = dict.fromkeys(range(-whole, whole + 1), 1.0) | {-whole - 1: part, whole + 1: part}
    total = sum(weights.values())
    for _ in range(3):
        last = len(line) - 1
        line = [
            sum(w / total * line[min(max(place + d, 0), last)] for d, w in weights.items())
            for place in range(len(line))
        ]
    return line


@pytest.mark.parametrize("size", [1, 2, 5, 12, 23])
def test_pillows_blur_is_three_boxes(size):
    for place, sigma in enumerate(SIGMAS):
        found = matrices(SIGMAS, size)[place].double()
        for column in range(size):
            unit = [float(row == column) for row in range(size)]
            expected = torch.tensor(three_boxes(unit, sigma), dtype=torch.float64)
            torch.testing.assert_close(found[:, column], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_pillows_blur_has_the_variance_of_the_gaussian(sigma):
    (row,) = matrices([sigma], 41)[:, 20].double()
    offsets = torch.arange(41) - 20
    assert float((row * offsets).sum()) == pytest.approx(0, abs=1e-6)
    assert float((row * offsets**2).sum()) == pytest.approx(sigma**2, rel=1e-4)


def pictures(size):
    """Smooth shapes with edges, as photographs have them."""
    y, x = np.mgrid[:size, :size] / size
    disc = ((x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.08) * 170.0
    waves = 40 * np.sin(19 * x * y + 3) + 45
    return [
        Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)) for values in (disc + waves, waves * 2, 255 - disc)
    ]


@pytest.mark.parametrize("sigma", SIGMAS)
def test_is_as_close_to_pillow_as_its_rounding_lets_it_be(sigma):
    for picture in pictures(96):
        image = torch.from_numpy(np.array(picture)).float()[None, None]
        found = blur(image, torch.tensor([sigma]), None, 2.0)[0, 0].numpy()
        expected = np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma))).astype(float)
        assert np.abs(found - expected).max() <= 3.0
        assert np.abs(found - expected).mean() <= 0.8


@pytest.mark.parametrize(("size", "taps"), [(30, 9), (96, 9), (5, 9), (3, 5), (7, 1), (12, 23)])
def test_the_gaussian_is_torchvisions(size, taps):
    images = make_images(len(SIGMAS), 2, size)
    found = blur(images, torch.tensor(SIGMAS), taps, 2.0)
    for place, sigma in enumerate(SIGMAS):
        expected = tv.gaussian_blur(images[place], [taps, taps], [sigma, sigma])
        torch.testing.assert_close(found[place], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("taps", [None, 9])
def test_each_image_has_a_width_of_its_own(taps):
    images = make_images(len(SIGMAS), 3, 20)
    together = blur(images, torch.tensor(SIGMAS), taps, 2.0)
    for place, sigma in enumerate(SIGMAS):
        alone = blur(images[place : place + 1], torch.tensor([sigma]), taps, 2.0)
        torch.testing.assert_close(together[place : place + 1], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("taps", [None, 9])
def test_rows_sum_to_1_and_weights_are_not_negative(taps):
    found = matrices(SIGMAS, 33, taps)
    torch.testing.assert_close(found.sum(-1), torch.ones(len(SIGMAS), 33), rtol=0, atol=1e-6)
    assert found.min() >= 0


def test_a_larger_reach_changes_nothing():
    torch.testing.assert_close(matrices(SIGMAS, 30, largest=6.0), matrices(SIGMAS, 30), rtol=0, atol=1e-6)


@pytest.mark.parametrize("taps", [None, 9])
def test_no_images_are_no_images(taps):
    assert blur(torch.zeros(0, 3, 16, 16), torch.zeros(0), taps, 2.0).shape == (0, 3, 16, 16)
