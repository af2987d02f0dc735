from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl import dino_loss as module  # noqa: E402
from radiodino.train.ssl.dino_loss import (  # noqa: E402
    dino_loss,
    dinov2_dino_losses,
    fused_dino_loss,
    soft_cross_entropy,
    teacher_probabilities,
    updated_centre,
)


def make(crops, views, batch, width, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(crops, batch, width, generator=generator)
    targets = torch.softmax(3 * torch.randn(views, batch, width, generator=generator), dim=-1)
    return logits.requires_grad_(), targets


def cross_entropy(target, logits, temperature):
    """One row, term by term, in float64."""
    scaled = [x / temperature for x in logits]
    top = max(scaled)
    log_sum = top + np.log(sum(np.exp(x - top) for x in scaled))
    return -sum(t * (x - log_sum) for t, x in zip(target, scaled, strict=True))


def pair_losses(student, teacher, temperature):
    """{(view, crop): mean over the batch}, every pair of different views."""
    return {
        (t, s): np.mean(
            [cross_entropy(q, x, temperature) for q, x in zip(teacher[t].tolist(), student[s].tolist(), strict=True)]
        )
        for t in range(len(teacher))
        for s in range(len(student))
        if s != t
    }


@settings(max_examples=40, deadline=None)
@given(
    views=st.integers(1, 3),
    more=st.integers(0, 4),
    batch=st.integers(1, 4),
    width=st.integers(1, 9),
    temperature=st.sampled_from([0.05, 0.1, 1.0]),
    seed=st.integers(0, 999),
)
def test_agrees_with_a_slow_oracle(views, more, batch, width, temperature, seed):
    crops = max(views + more, 2)
    student, teacher = make(crops, views, batch, width, seed)
    expected = np.mean(list(pair_losses(student, teacher, temperature).values()))
    for loss in (dino_loss, fused_dino_loss):
        found = loss(student, teacher, temperature)
        assert found.shape == ()
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(expected, rel=2e-6, abs=2e-6)


def test_eighteen_pairs_for_two_global_and_eight_local_crops():
    student, teacher = make(10, 2, 3, 7)
    pairs = pair_losses(student, teacher, 0.1)
    assert len(pairs) == 18
    assert dino_loss(student, teacher).item() == pytest.approx(sum(pairs.values()) / 18, rel=1e-6)


@pytest.mark.parametrize("loss", [dino_loss, fused_dino_loss])
def test_uniform_outputs_lose_the_logarithm_of_the_width(loss):
    assert loss(torch.ones(10, 2, 64), torch.full((2, 2, 64), 1 / 64)).item() == pytest.approx(np.log(64), rel=1e-6)


@pytest.mark.parametrize("loss", [dino_loss, fused_dino_loss])
def test_a_view_does_not_teach_itself(loss):
    student, teacher = make(3, 2, 2, 5)
    other = teacher.clone()
    other[0] = torch.softmax(torch.arange(5.0), dim=0)
    (before,) = torch.autograd.grad(loss(student, teacher), student)
    (after,) = torch.autograd.grad(loss(student, other), student)
    assert torch.equal(before[0], after[0])  # crop 0 learns from view 1 only
    assert not torch.allclose(before[1], after[1])
    assert not torch.allclose(before[2], after[2])


@pytest.mark.parametrize(("crops", "views", "batch"), [(10, 2, 5), (2, 2, 3), (4, 1, 2), (5, 3, 2)])
def test_fused_gives_the_gradient_of_the_definition(crops, views, batch):
    student, teacher = make(crops, views, batch, 300, spread=0.5)
    slow = dino_loss(student, teacher)
    fast = fused_dino_loss(student, teacher)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-6)
    (expected,) = torch.autograd.grad(3 * slow, student)
    (found,) = torch.autograd.grad(3 * fast, student)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("chunk", [1, 20, 2**16])
def test_chunks_do_not_show(monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    student, teacher = make(6, 2, 13, 7)
    assert fused_dino_loss(student, teacher).item() == pytest.approx(dino_loss(student, teacher).item(), rel=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    targets = torch.rand(2, 3, 4, dtype=torch.float64, generator=generator)  # of any sum
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, targets, 0.3), (logits,))


def test_second_derivatives_are_refused_rather_than_wrong():
    student, teacher = make(2, 1, 1, 3)
    with pytest.raises(NotImplementedError, match="no second derivative: use dino_loss"):
        torch.autograd.grad(fused_dino_loss(student, teacher), student, create_graph=True)


def test_backward_twice_gives_the_same():
    student, teacher = make(4, 2, 2, 5)
    loss = fused_dino_loss(student, teacher)
    first = torch.autograd.grad(loss, student, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, student)[0])


@pytest.mark.parametrize("loss", [dino_loss, fused_dino_loss])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_is_computed_in_float32(loss, dtype):
    student, teacher = make(4, 2, 3, 50)
    half = student.detach().to(dtype).requires_grad_()
    found = loss(half, teacher)
    same = half.detach().float().requires_grad_()
    expected = dino_loss(same, teacher)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    scale = 2.0**10  # as a gradient scaler multiplies
    (gradient,) = torch.autograd.grad(found * scale, half)
    (exact,) = torch.autograd.grad(expected * scale, same)
    assert gradient.dtype == dtype
    assert torch.allclose(gradient.float(), exact, rtol=2e-2 if dtype == torch.bfloat16 else 2e-3, atol=1e-5 * scale)


def test_small_gradients_survive_float16_when_the_loss_is_scaled():
    logits = torch.zeros(2, 1, 2)
    logits[..., 1] = -1.7  # at temperature 0.1 a probability of 4e-8, below half of float16's smallest number
    half = logits.half().requires_grad_()
    target = torch.tensor([[[1.0, 0.0]]])
    (gradient,) = torch.autograd.grad(fused_dino_loss(half, target) * 2.0**16, half)
    (exact,) = torch.autograd.grad(dino_loss(half, target) * 2.0**16, half)
    assert exact[1, 0, 1] > 0
    assert torch.allclose(gradient, exact, rtol=2e-3, atol=0)


@pytest.mark.parametrize("loss", [dino_loss, fused_dino_loss])
def test_the_teacher_is_a_constant(loss):
    student, teacher = make(3, 2, 2, 4)
    teacher.requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_without_gradient_only_the_loss_is_made():
    student, teacher = make(3, 2, 2, 4)
    with torch.no_grad():
        assert not fused_dino_loss(student, teacher).requires_grad
    assert fused_dino_loss(student.detach(), teacher).item() == pytest.approx(dino_loss(student, teacher).item())


def test_dinov2_splits_the_pairs_over_one_divisor():
    student, teacher = make(10, 2, 3, 6)
    losses = dinov2_dino_losses(student, teacher)
    pairs = pair_losses(student, teacher, 0.1)
    assert losses.global_crops.item() == pytest.approx((pairs[0, 1] + pairs[1, 0]) / 18, rel=1e-6)
    assert losses.local_crops.item() == pytest.approx(
        sum(loss for (_, crop), loss in pairs.items() if crop >= 2) / 18, rel=1e-6
    )
    assert sum(losses).item() == pytest.approx(dino_loss(student, teacher).item(), rel=1e-6)
    (found,) = torch.autograd.grad(sum(losses), student)
    (expected,) = torch.autograd.grad(dino_loss(student, teacher), student)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_dinov2_without_local_crops_divides_by_three():
    student, teacher = make(2, 2, 3, 6)
    losses = dinov2_dino_losses(student, teacher)
    assert losses.local_crops.item() == 0
    assert losses.global_crops.item() == pytest.approx(dino_loss(student, teacher).item() * 2 / 3, rel=1e-6)


def test_dinov2_is_defined_for_two_global_crops():
    with pytest.raises(InputError, match="2 global crops, not for 1"):
        dinov2_dino_losses(*make(3, 1, 2, 4))


@pytest.mark.parametrize("loss", [dino_loss, fused_dino_loss, dinov2_dino_losses])
@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        ((6, 4), (2, 3, 4), "stack the crops"),
        ((3, 2, 4), (2, 2, 5), "stack the crops"),
        ((3, 2, 4), (2, 3, 4), "stack the crops"),
        ((1, 2, 4), (2, 2, 4), "2 views, 1 student crops"),
        ((1, 2, 4), (1, 2, 4), "one more student crop"),
        ((3, 2, 4), (0, 2, 4), "at least one teacher view"),
        ((3, 0, 4), (2, 0, 4), "0 images"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(loss, student, teacher, words):
    with pytest.raises(InputError, match=words):
        loss(torch.zeros(student), torch.zeros(teacher))


@pytest.mark.parametrize("loss", [dino_loss, fused_dino_loss, dinov2_dino_losses])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_of_zero_or_less_is_refused(loss, temperature):
    with pytest.raises(InputError, match="must be above 0"):
        loss(*make(3, 2, 2, 4), temperature)


def test_teacher_probabilities_are_centred_and_sharpened():
    logits = torch.tensor([[[0.1, 0.3, -0.2], [0.0, 0.0, 0.0]]], requires_grad=True)
    centre = torch.tensor([[0.05, 0.1, -0.1]])
    found = teacher_probabilities(logits, centre, 0.04)
    raised = np.exp((logits.detach().double().numpy() - centre.double().numpy()) / 0.04)
    assert np.allclose(found.numpy(), raised / raised.sum(axis=-1, keepdims=True), rtol=1e-5)
    assert not found.requires_grad
    assert found.shape == logits.shape
    assert teacher_probabilities(logits.bfloat16(), centre, 0.04).dtype == torch.float32


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 6), momentum=st.sampled_from([0.0, 0.5, 0.9, 1.0]), seed=st.integers(0, 99))
def test_the_centre_is_a_moving_average_of_batch_means(batch, momentum, seed):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(1, 5, generator=generator)
    before = centre.clone()
    logits = torch.randn(2, batch, 5, generator=generator, requires_grad=True)
    found = updated_centre(centre, logits, momentum)
    for column in range(5):
        mean = sum(logits[..., column].flatten().tolist()) / (2 * batch)
        expected = momentum * float(before[0, column]) + (1 - momentum) * mean
        assert found[0, column].item() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(centre, before)
    assert not found.requires_grad
    assert torch.equal(found, updated_centre(centre, logits.flatten(0, 1), momentum))


def test_the_centre_sums_reduced_precision_in_float32():
    logits = torch.full((4096, 1), 0.1, dtype=torch.bfloat16)
    found = updated_centre(torch.zeros(1, 1), logits, 0.0)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(logits[0].item(), rel=1e-5)


def test_no_rows_leave_the_centre_as_it_is():
    centre = torch.randn(1, 3)
    assert torch.equal(updated_centre(centre, torch.zeros(0, 3)), centre)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (2, 3)])
def test_a_centre_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match="the centre must have the shape"):
        updated_centre(torch.zeros(shape), torch.zeros(2, 3))


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_a_momentum_outside_zero_to_one_is_refused(momentum):
    with pytest.raises(InputError, match="between 0 and 1"):
        updated_centre(torch.zeros(1, 3), torch.zeros(2, 3), momentum)


RANK = """
import sys, torch
from torch import distributed
from radiodino.train.ssl.dino_loss import updated_centre
folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
centre, logits = torch.load(f"{folder}/given.pt")
found = []
for shares in ((4, 4), (1, 7), (8, 0), (0, 0)):
    first = sum(shares[:rank])
    found.append(updated_centre(centre, logits[first : first + shares[rank]]))
torch.save(torch.stack(found), f"{folder}/found{rank}.pt")
distributed.destroy_process_group()
"""


def test_two_ranks_centre_as_one_with_the_joined_batch(tmp_path):
    centre, logits = torch.randn(1, 6), torch.randn(8, 6)
    torch.save((centre, logits), tmp_path / "given.pt")
    ranks = [subprocess.Popen([sys.executable, "-c", RANK, str(tmp_path), str(rank)]) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    joined = updated_centre(centre, logits)
    expected = torch.stack([joined, joined, joined, centre])
    for rank in range(2):
        assert torch.allclose(torch.load(tmp_path / f"found{rank}.pt"), expected, rtol=1e-5, atol=1e-7)
