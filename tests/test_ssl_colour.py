from __future__ import annotations

from itertools import permutations

import pytest

torch = pytest.importorskip("torch")
tv = pytest.importorskip("torchvision.transforms.functional")

from radiodino.train.ssl.colour import (  # noqa: E402
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    jitter_,
    luma,
    shift_hue,
    solarise,
)

TORCHVISIONS = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)


def make_images(count=24, channels=3, seed=0):
    """Noise, and images with equal channels, few levels, black and white."""
    images = torch.rand(count, channels, 13, 17, generator=torch.Generator().manual_seed(seed))
    images[0] = images[0, :1]
    images[1] = (images[1] * 2).round() / 2
    images[2], images[3] = 0, 1
    return images


def make_factors(count=24, seed=1):
    uniform = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed))
    return torch.tensor([0.5, 0.5, 0.5, -0.5]) + uniform


@pytest.mark.parametrize(
    ("ours", "theirs", "column"),
    [
        (adjust_brightness, tv.adjust_brightness, 0),
        (adjust_contrast, tv.adjust_contrast, 1),
        (adjust_saturation, tv.adjust_saturation, 2),
        (shift_hue, tv.adjust_hue, 3),
    ],
)
def test_is_torchvisions_for_each_image(ours, theirs, column):
    images, factors = make_images(), make_factors()[:, column]
    kept = images.clone()
    found = ours(images, factors)
    expected = torch.stack([theirs(image, float(factor)) for image, factor in zip(images, factors, strict=True)])
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)
    assert torch.equal(images, kept)
    assert (found - images).abs().max() > 0.1


@pytest.mark.parametrize("turns", [-0.5, -1 / 3, 0.0, 1 / 6, 0.5])
def test_hue_by_whole_sixths_of_a_turn(turns):
    images = make_images()
    found = shift_hue(images, torch.full((len(images),), turns))
    torch.testing.assert_close(found, tv.adjust_hue(images, turns), rtol=0, atol=3e-6)


def test_a_third_of_a_turn_makes_red_green():
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    found = shift_hue(red, torch.tensor([1 / 3])).flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 0.0]), rtol=0, atol=1e-6)


def test_jitter_is_torchvisions_in_every_order():
    images, factors = make_images(), make_factors()
    order = torch.tensor(list(permutations(range(4))))
    found = jitter_(images.clone(), factors, order)
    for place in range(24):
        expected = images[place]
        for kind in order[place].tolist():
            expected = TORCHVISIONS[kind](expected, float(factors[place, kind]))
        torch.testing.assert_close(found[place], expected, rtol=0, atol=1e-5)


def test_jitter_of_grey_images_changes_brightness_and_contrast_only():
    images, factors = make_images(channels=1), make_factors()
    order = torch.tensor(list(permutations(range(4))))
    found = jitter_(images.clone(), factors, order)
    for place in range(24):
        expected = images[place]
        for kind in order[place].tolist():
            if kind < 2:
                expected = TORCHVISIONS[kind](expected, float(factors[place, kind]))
        torch.testing.assert_close(found[place], expected, rtol=0, atol=1e-6)
    still = jitter_(images.clone(), torch.tensor([1.0, 1.0, 0.3, 0.4]).expand(24, 4), order)
    assert torch.equal(still, images)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_leaves_neutral_images_bit_for_bit_and_works_in_place(channels):
    images = make_images(channels=channels)
    kept = images.clone()
    factors = make_factors()
    factors[::2] = torch.tensor([1.0, 1.0, 1.0, 0.0])
    order = torch.arange(4).expand(24, 4)
    found = jitter_(images, factors, order)
    assert found is images
    assert torch.equal(found[::2], kept[::2])
    assert (found[1::2] - kept[1::2]).abs().amax((1, 2, 3))[2:].min() > 0


def test_jitter_stays_in_range():
    images = make_images()
    factors = torch.tensor([1.5, 1.9, 1.9, 0.5]).expand(24, 4)
    found = jitter_(images, factors, torch.arange(4).expand(24, 4))
    assert found.min() >= 0
    assert found.max() <= 1


def test_luma_is_torchvisions_grey():
    images = make_images()
    torch.testing.assert_close(luma(images), tv.rgb_to_grayscale(images), rtol=0, atol=1e-6)
    assert luma(images[:, :1]).data_ptr() == images.data_ptr()


@pytest.mark.parametrize("channels", [1, 3])
def test_solarise_is_torchvisions(channels):
    images = make_images(channels=channels)
    images[4] = 128 / 255
    assert torch.equal(solarise(images, 128 / 255), tv.solarize(images, 128 / 255))


def test_compile_to_one_graph():
    images, factors = make_images(), make_factors()[:, 3]
    for function in (adjust_brightness, adjust_contrast, adjust_saturation, shift_hue):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(images, factors), function(images, factors))
