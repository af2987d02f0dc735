from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from radiodino.train.data.normalise import normalise
from radiodino.train.segment.recipe import ViewRecipe
from radiodino.train.segment.views import make_views

CPU = torch.device("cpu")
RECIPE = ViewRecipe()


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    masks = np.zeros((3, 32, 32), np.uint8)
    masks[:, 8:20, 4:14] = 1
    return random.integers(0, 256, (3, 1, 32, 32), np.uint8), masks


def views(pictures, places, numbers, recipe=RECIPE, seed=0):
    return make_views(*pictures, np.array(places), np.array(numbers), recipe, seed, CPU)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_plain_view_is_the_model_cards_preprocessing(channels):
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    pixels = np.random.default_rng(0).integers(0, 256, (2, channels, 8, 8), np.uint8)
    found, masks = make_views(pixels, np.ones((2, 8, 8), np.uint8), np.arange(2), np.zeros(2, int), RECIPE, 0, CPU)
    colour = torch.from_numpy(pixels).expand(-1, 3, -1, -1).float() / 255
    expected = transforms.normalize(colour, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.equal(found, expected)
    assert torch.equal(normalise(torch.from_numpy(pixels)), expected)
    assert masks.dtype == torch.float32


def test_the_second_view_is_the_mirror_image_with_its_mask(pictures):
    plain, truth = views(pictures, [1], [0])
    found, mask = views(pictures, [1], [1])
    torch.testing.assert_close(found, plain.flip(-1), atol=1e-4, rtol=0)
    assert torch.equal(mask, truth.flip(-1))


def test_a_view_depends_on_its_image_and_number_alone(pictures):
    one, mask = views(pictures, [2], [5])
    among, masks = views(pictures, [0, 2, 1], [3, 5, 5])
    torch.testing.assert_close(among[1], one[0], atol=1e-5, rtol=0)
    assert torch.equal(masks[1], mask[0])
    for other in ([2], [6]), ([1], [5]):
        assert (views(pictures, *other)[0] - one).abs().max() > 0.1
    assert (views(pictures, [2], [5], seed=1)[0] - one).abs().max() > 0.1


def test_an_image_and_its_mask_move_together():
    # A disc that is its own mask: it must still be, wherever it went.
    yy, xx = np.mgrid[:64, :64]
    disc = ((yy - 30) ** 2 + (xx - 36) ** 2 < 14**2).astype(np.uint8)
    recipe = ViewRecipe(brightness=0.0, shift=0.2, zoom=1.5)
    numbers = np.arange(2, 22)
    images, masks = make_views(
        np.repeat(255 * disc[None, None], 20, 0), np.repeat(disc[None], 20, 0), np.arange(20), numbers, recipe, 0, CPU
    )
    middle = (normalise(torch.tensor([[[[0.0]]], [[[1.0]]]])).mean(0))[:, 0, 0]
    assert torch.equal(images[:, 0] >= middle[0], masks > 0)
    areas = masks.sum(dim=(1, 2)) / disc.sum()
    assert 1 / 1.5**2 * 0.9 < areas.min() < 0.8 < 1.3 < areas.max() < 1.5**2 * 1.1
    centres = torch.stack([(masks * torch.from_numpy(xx)).sum(dim=(1, 2)) / masks.sum(dim=(1, 2))])
    assert centres.min() < 20 < 36 < centres.max()


def test_brightness_leaves_the_mask_and_the_range(pictures):
    recipe = ViewRecipe(brightness=0.9, zoom=1.0, shift=0.0)
    images, masks = views(pictures, [0] * 30, range(2, 32), recipe)
    low, high = (float(normalise(torch.full((1, 1, 1, 1), value))[0, 0]) for value in (0.0, 1.0))
    assert images[:, 0].min() >= low - 1e-5
    assert images[:, 0].max() <= high + 1e-5
    means = images.mean(dim=(1, 2, 3))
    assert means.max() - means.min() > 0.5
    assert set(masks.sum(dim=(1, 2)).tolist()) == {120.0}
