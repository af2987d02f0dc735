from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.ibot_loss import ibot_loss, patch_weights  # noqa: E402


def make(images, patches, width, seed=0):
    """Masks, and student and teacher at every patch."""
    rng = np.random.default_rng(seed)
    masks = rng.random((images, patches)) < rng.random((images, 1))
    masks[0] = False  # an image without masks
    student = rng.normal(size=(images, patches, width))
    raised = np.exp(3 * rng.normal(size=(images, patches, width)))
    return masks, student, raised / raised.sum(axis=-1, keepdims=True)


def oracle(masks, student, teacher, temperature):
    """Image by image, patch by patch, in float64."""
    total = 0.0
    for image in range(len(masks)):
        losses = []
        for patch in range(masks.shape[1]):
            if masks[image, patch]:
                scaled = student[image, patch] / temperature
                logs = scaled - scaled.max() - np.log(np.exp(scaled - scaled.max()).sum())
                losses.append(-(teacher[image, patch] * logs).sum())
        if losses:
            total += sum(losses) / len(losses)
    return total / len(masks)


def masked(masks, student, teacher):
    return (
        torch.from_numpy(student[masks]).float(),
        torch.from_numpy(teacher[masks]).float(),
        patch_weights(torch.from_numpy(masks)),
        len(masks),
    )


@settings(max_examples=40, deadline=None)
@given(
    images=st.integers(1, 5),
    patches=st.integers(1, 6),
    width=st.integers(1, 8),
    temperature=st.sampled_from([0.1, 1.0]),
    seed=st.integers(0, 999),
)
def test_agrees_with_a_slow_oracle(images, patches, width, temperature, seed):
    masks, student, teacher = make(images, patches, width, seed)
    found = ibot_loss(*masked(masks, student, teacher), temperature)
    assert found.shape == ()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(oracle(masks, student, teacher, temperature), rel=2e-6, abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(images=st.integers(1, 6), patches=st.integers(1, 9), seed=st.integers(0, 99))
def test_each_masked_image_weighs_one(images, patches, seed):
    masks = make(images, patches, 1, seed)[0]
    weights = patch_weights(torch.from_numpy(masks))
    assert weights.dtype == torch.float32
    of_image = np.nonzero(masks)[0]
    assert weights.tolist() == pytest.approx([1 / masks[image].sum() for image in of_image])


def test_unmasked_images_count_with_loss_zero():
    student, teacher, weights, images = masked(*make(4, 6, 5, seed=3))
    assert ibot_loss(student, teacher, weights, 2 * images).item() == pytest.approx(
        ibot_loss(student, teacher, weights, images).item() / 2, rel=1e-6
    )


def test_padding_of_weight_zero_changes_nothing():
    student, teacher, weights, images = masked(*make(4, 6, 5, seed=3))
    pad = [0, 0, 0, 3]
    padded = (
        torch.nn.functional.pad(student, pad),
        torch.nn.functional.pad(teacher, pad, value=0.2),
        torch.nn.functional.pad(weights, pad[2:]),
    )
    assert ibot_loss(*padded, images).item() == pytest.approx(
        ibot_loss(student, teacher, weights, images).item(), rel=1e-6
    )


def test_no_masks_give_zero_and_a_gradient_of_nothing():
    student = torch.zeros(0, 5, requires_grad=True)
    loss = ibot_loss(student, torch.zeros(0, 5), torch.zeros(0), 3)
    assert loss.item() == 0
    loss.backward()
    assert student.grad.shape == (0, 5)


def test_the_gradient_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    teacher = torch.softmax(torch.randn(4, 3, dtype=torch.float64, generator=generator), dim=-1).requires_grad_()
    weights = torch.tensor([0.5, 0.5, 1.0, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ibot_loss(x, teacher, weights, 4, 0.3), (student,))
    ibot_loss(student, teacher, weights, 4).backward()
    assert teacher.grad is None


def test_what_does_not_fit_is_refused():
    rows, weights = torch.zeros(3, 4), torch.zeros(3)
    for arguments in (
        (rows[None], rows[None], weights),
        (rows, torch.zeros(3, 5), weights),
        (rows, rows, torch.zeros(2)),
        (rows, rows, weights[:, None]),
    ):
        with pytest.raises(InputError, match="needs student logits and teacher probabilities"):
            ibot_loss(*arguments, 2)
    with pytest.raises(InputError, match="at least 1 image, not 0"):
        ibot_loss(rows, rows, weights, 0)
    with pytest.raises(InputError, match="temperature must be above 0"):
        ibot_loss(rows, rows, weights, 2, 0.0)
    with pytest.raises(InputError, match="masks must be bool"):
        patch_weights(torch.zeros(2, 3))
    with pytest.raises(InputError, match="masks must be bool"):
        patch_weights(torch.zeros(2, 3, 3, dtype=torch.bool))
