from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import RadioDinoError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.koleo_loss import koleo_loss  # noqa: E402


def oracle(crop):
    points = [row / np.sqrt((row**2).sum()) for row in np.asarray(crop, dtype=np.float64)]
    total = 0.0
    for index, point in enumerate(points):
        distances = [np.sqrt(((point - other) ** 2).sum()) for place, other in enumerate(points) if place != index]
        total -= np.log(min(distances))
    return total / len(points)


@settings(max_examples=40, deadline=None)
@given(crops=st.integers(1, 3), batch=st.integers(2, 8), size=st.integers(3, 9), seed=st.integers(0, 999))
def test_agrees_with_a_slow_oracle(crops, batch, size, seed):
    embeddings = np.random.default_rng(seed).normal(size=(crops, batch, size))
    found = koleo_loss(torch.from_numpy(embeddings))
    assert found.shape == ()
    assert found.item() == pytest.approx(sum(oracle(crop) for crop in embeddings), abs=1e-5)
    single = koleo_loss(torch.from_numpy(embeddings).float())
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(found.item(), abs=2e-3)


def test_opposite_points_are_two_apart():
    assert koleo_loss(torch.tensor([[[3.0, 0.0], [-0.5, 0.0]]])).item() == pytest.approx(-math.log(2), abs=1e-6)


def test_each_crop_is_a_set_of_its_own():
    crop = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert koleo_loss(torch.stack([crop, crop])).item() == pytest.approx(2 * koleo_loss(crop[None]).item(), rel=1e-5)


def test_length_does_not_matter():
    crop = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))
    assert koleo_loss(100 * crop).item() == pytest.approx(koleo_loss(crop).item(), rel=1e-5)


def test_the_gradient_parts_neighbours():
    points = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.2, 0.0], [0.0, 0.0, 1.0]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(koleo_loss(points), points)
    moved = (points - 0.01 * gradient).detach()
    assert koleo_loss(moved) < koleo_loss(points)
    assert gradient[0, 0, 1] > 0  # descending moves the first point away from the second
    assert gradient[0, 1, 1] < 0


def test_the_gradient_is_that_of_finite_differences():
    points = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(koleo_loss, (points,))


def test_identical_embeddings_give_the_largest_loss_and_a_finite_gradient():
    points = torch.ones(1, 3, 16, requires_grad=True)
    loss = koleo_loss(points)
    assert loss.item() == pytest.approx(-math.log(1e-8 * (math.sqrt(16) + 1)), rel=1e-3)
    loss.backward()
    assert torch.isfinite(points.grad).all()


def test_it_is_computed_in_float32_under_autocast():
    crop = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert koleo_loss(crop).item() == koleo_loss(crop).float().item()
        inside = koleo_loss(crop)
    assert torch.equal(inside, koleo_loss(crop))
    assert koleo_loss(crop.bfloat16()).dtype == torch.float32


def test_a_single_image_is_refused():
    with pytest.raises(RadioDinoError, match=r"at least 2 images per rank.*found 1: raise the batch size"):
        koleo_loss(torch.randn(2, 1, 4))


def test_another_shape_is_refused():
    with pytest.raises(RadioDinoError, match=r"\(crops, batch, size\), not \(4, 3\)"):
        koleo_loss(torch.zeros(4, 3))
