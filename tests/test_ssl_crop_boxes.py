from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transforms = pytest.importorskip("torchvision.transforms")

from radiodino.train.ssl.crop_boxes import draw_boxes  # noqa: E402

RATIO = (3 / 4, 4 / 3)


def boxes(shape, height, width, scale=(0.05, 0.4), ratio=RATIO, seed=0):
    return draw_boxes(shape, height, width, scale, ratio, torch.Generator().manual_seed(seed))


def torchvision_boxes(count, height, width, scale, ratio, seed=0):
    image = torch.empty(1, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [transforms.RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(count)]
    return torch.tensor(drawn)


def distance(one, other):
    """The Kolmogorov-Smirnov statistic of two samples."""
    values = torch.cat([one, other]).sort().values
    below = [torch.searchsorted(x.sort().values, values, right=True) / len(x) for x in (one, other)]
    return float((below[0] - below[1]).abs().max())


def measures(found):
    top, left, height, width = found.double().unbind(-1)
    return {
        "top": top,
        "left": left,
        "height": height,
        "width": width,
        "area": height * width,
        "aspect": width / height,
        "middle": top + height / 2,
    }


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (224, 224, (0.05, 0.4), RATIO),
        (224, 224, (0.4, 1.0), RATIO),
        (64, 64, (0.32, 1.0), RATIO),
        (90, 210, (0.4, 1.0), RATIO),
        (210, 90, (0.1, 1.0), (0.5, 1.0)),
    ],
)
def test_is_distributed_as_torchvisions(height, width, scale, ratio):
    count = 4000
    ours = measures(boxes((count,), height, width, scale, ratio, seed=1))
    theirs = measures(torchvision_boxes(count, height, width, scale, ratio, seed=2))
    for name in ours:
        assert distance(ours[name], theirs[name]) < 1.95 * (2 / count) ** 0.5, (
            name
        )  # the bound of a chance of 1 in 1000


def test_the_share_of_the_area_is_uniform_and_the_aspect_log_uniform():
    count = 20000
    found = measures(boxes((count,), 2000, 2000))  # large enough that rounding to pixels does not show
    for values, low, high in (
        (found["area"] / 2000**2, 0.05, 0.4),
        (found["aspect"].log(), -0.28768, 0.28768),
    ):
        uniform = low + (high - low) * (torch.arange(count) + 0.5) / count
        assert distance(values, uniform.double()) < 1.95 / count**0.5
        assert float(values.min()) == pytest.approx(low, abs=2e-3)
        assert float(values.max()) == pytest.approx(high, abs=2e-3)


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    scale=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
    seed=st.integers(0, 999),
)
def test_lies_inside_the_image(height, width, scale, ratio, seed):
    found = boxes((7, 3), height, width, tuple(scale), tuple(ratio), seed)
    assert found.shape == (7, 3, 4)
    assert found.dtype == torch.int64
    top, left, tall, wide = found.unbind(-1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (tall >= 1).all()
    assert (wide >= 1).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()


@pytest.mark.parametrize(("height", "width"), [(10, 1000), (1000, 10), (7, 200), (201, 8)])
def test_a_box_that_never_fits_is_the_central_one(height, width):
    found = boxes((50,), height, width, (0.9, 1.0))
    expected = torchvision_boxes(1, height, width, (0.9, 1.0), RATIO)
    assert torch.equal(found, expected.expand(50, 4))


def test_the_whole_image_where_only_that_is_allowed():
    assert boxes((5,), 30, 30, (1.0, 1.0), (1.0, 1.0)).tolist() == [[0, 0, 30, 30]] * 5


@pytest.mark.parametrize("scale", [(0.05, 0.4), (0.9, 1.0)])
def test_the_stream_moves_on_by_the_same_amount_whatever_is_drawn(scale):
    generator, expected = (torch.Generator().manual_seed(3) for _ in range(2))
    draw_boxes((6, 2), 40, 400, scale, RATIO, generator)
    draw_boxes((6, 2), 224, 224, (0.4, 0.4), RATIO, expected)
    assert torch.equal(generator.get_state(), expected.get_state())


def test_the_same_state_draws_the_same_boxes():
    assert torch.equal(boxes((40, 8), 100, 120, seed=5), boxes((40, 8), 100, 120, seed=5))
    assert not torch.equal(boxes((40, 8), 100, 120, seed=5), boxes((40, 8), 100, 120, seed=6))
