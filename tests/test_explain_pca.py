"""Patch tokens as colours: against numpy's singular values, with a fixed sign, the same every time."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("sklearn")

from radiodino.runtime.errors import InputError
from radiodino.train.explain.pca import patch_colours


@pytest.fixture
def tokens():
    random = np.random.default_rng(0)
    scales = np.array([9, 5, 3, 1, 0.5, 0.5, 0.2, 0.1])
    return (random.normal(size=(3, 16, 8)) * scales).astype(np.float32)


def oracle(rows):
    """Components by numpy's decomposition, each with its largest entry positive, scaled to 0..1."""
    centred = rows - rows.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:3] * np.sign(axes[np.arange(3), np.abs(axes[:3]).argmax(1)])[:, None]
    values = centred @ axes.T
    low, high = np.percentile(values, (1, 99), axis=0)
    return np.clip((values - low) / (high - low), 0, 1), (sizes**2 / (sizes**2).sum())[:3]


def test_the_colours_are_the_first_three_components_of_all_images_together(tokens):
    found = patch_colours(tokens)
    rgb, shares = oracle(tokens.reshape(-1, 8).astype(np.float64))
    np.testing.assert_allclose(found.rgb.reshape(-1, 3), rgb, atol=1e-5)
    np.testing.assert_allclose(found.explained, shares, rtol=1e-9)
    assert found.rgb.shape == (3, 4, 4, 3)
    assert found.rgb.dtype == np.float32
    assert found.foreground.all()


def test_fewer_patches_than_dimensions(tokens):
    wide = np.random.default_rng(1).normal(size=(1, 4, 30))
    rgb, shares = oracle(wide[0])
    found = patch_colours(wide)
    np.testing.assert_allclose(found.rgb.reshape(-1, 3), rgb, atol=1e-5)
    np.testing.assert_allclose(found.explained, shares, rtol=1e-9)


def test_the_same_tokens_give_the_same_picture_and_no_random_state_is_touched(tokens):
    before = np.random.get_state()[1].copy()
    first, second = patch_colours(tokens), patch_colours(tokens.copy())
    assert np.array_equal(first.rgb, second.rgb)
    assert np.array_equal(np.random.get_state()[1], before)


def test_equal_tokens_of_different_images_have_equal_colours(tokens):
    tokens[2] = tokens[0][::-1]
    found = patch_colours(tokens)
    assert np.array_equal(found.rgb[2].reshape(-1, 3), found.rgb[0].reshape(-1, 3)[::-1])


@pytest.fixture
def object_on_background():
    """Patches 5, 6, 9 and 10 of a 4 × 4 grid far from the others along one direction."""
    random = np.random.default_rng(2)
    tokens = random.normal(size=(2, 16, 6))
    tokens[:, [5, 6, 9, 10], 2] += 40  # its largest entry is positive: the high side
    return tokens


def test_the_first_component_parts_the_foreground(object_on_background):
    found = patch_colours(object_on_background, foreground="high")
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    assert (found.foreground == expected).all()
    assert not found.rgb[~found.foreground].any()
    inside = object_on_background.reshape(-1, 6)[found.foreground.ravel()]
    np.testing.assert_allclose(found.rgb[found.foreground], oracle(inside)[0], atol=1e-5)
    other = patch_colours(object_on_background, foreground="low")
    assert (other.foreground == ~expected).all()


def test_a_component_without_spread_is_of_medium_brightness():
    tokens = np.zeros((1, 9, 5))
    assert (patch_colours(tokens).rgb == 0.5).all()
    assert patch_colours(tokens).explained == (0, 0, 0)
    tokens += np.random.default_rng(3).normal(size=5)
    tokens[0] += np.arange(9)[:, None] * np.random.default_rng(4).normal(size=5)  # along one line
    found = patch_colours(tokens)
    assert found.rgb[..., 0].max() == 1
    assert (found.rgb[..., 1:] == 0.5).all()
    np.testing.assert_allclose(found.explained, (1, 0, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"foreground": "left"}, "all, high, low"),
        ({"threshold": 0.0}, "between 0 and 1"),
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"threshold": math.nan}, "between 0 and 1"),
    ],
)
def test_options_that_are_none_are_refused(tokens, options, sentence):
    with pytest.raises(InputError, match=sentence):
        patch_colours(tokens, **options)


@pytest.mark.parametrize("shape", [(16, 8), (1, 15, 8), (1, 16, 2)])
def test_tokens_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match="N, g², D"):
        patch_colours(np.ones(shape))


def test_tokens_that_are_not_finite_are_refused(tokens):
    tokens[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        patch_colours(tokens)


def test_too_small_a_foreground_is_refused(object_on_background):
    object_on_background[:] = 0
    object_on_background[0, 3, 1] = 50
    with pytest.raises(InputError, match="1 patches are left"):
        patch_colours(object_on_background, foreground="high", threshold=0.9)
