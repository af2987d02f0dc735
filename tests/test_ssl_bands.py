from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from radiodino.train.ssl.bands import Bands, apply_bands  # noqa: E402


def make_bands(count, sums, taps, length, generator):
    index = torch.randint(0, length, (count, sums, taps), generator=generator)
    return Bands(index, torch.randn(count, sums, taps, generator=generator))


def matrix(bands, place, length):
    """One of the maps as a matrix, in float64, one weight at a time."""
    found = torch.zeros(bands.index.shape[1], length, dtype=torch.float64)
    for row, (index, weights) in enumerate(
        zip(bands.index[place].tolist(), bands.weights[place].tolist(), strict=True)
    ):
        for column, weight in zip(index, weights, strict=True):
            found[row, column] += weight
    return found


@settings(max_examples=50, deadline=None)
@given(
    images=st.integers(1, 3),
    channels=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    count=st.integers(0, 5),
    sums=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_is_a_product_with_a_matrix_on_either_side(images, channels, height, width, count, sums, taps, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, channels, height, width), dtype=torch.uint8, generator=generator)
    owners = torch.randint(0, images, (count,), generator=generator)
    rows = make_bands(count, sums[0], taps[0], height, generator)
    columns = make_bands(count, sums[1], taps[1], width, generator)
    found = apply_bands(pixels, owners, rows, columns)
    assert found.shape == (count, channels, *sums)
    assert found.dtype == torch.float32
    for place, owner in enumerate(owners.tolist()):
        for channel in range(channels):
            left, right = matrix(rows, place, height), matrix(columns, place, width)
            expected = left @ pixels[owner, channel].double() @ right.T
            torch.testing.assert_close(found[place, channel].double(), expected, rtol=1e-5, atol=1e-3)


def test_floating_point_images_are_taken_as_they_are():
    image = torch.rand(1, 1, 4, 4)
    every = Bands(torch.arange(4).reshape(1, 4, 1), torch.ones(1, 4, 1))
    assert torch.equal(apply_bands(image, torch.tensor([0]), every, every), image)
    assert torch.equal(apply_bands(image.double(), torch.tensor([0]), every, every), image)
