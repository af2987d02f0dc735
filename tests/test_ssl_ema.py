from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.ema import update_teacher  # noqa: E402


def make(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,), ())]


@settings(max_examples=30, deadline=None)
@given(momentum=st.floats(0, 1), steps=st.integers(1, 20))
def test_agrees_with_a_slow_oracle(momentum, steps):
    student, teacher = make(0), make(1)
    expected = [p.detach().double() for p in teacher]
    for step in range(steps):
        with torch.no_grad():
            for p in student:
                p.add_(0.1 * step)
        update_teacher(student, teacher, momentum)
        expected = [momentum * t + (1 - momentum) * s.detach().double() for t, s in zip(expected, student, strict=True)]
    for found, wanted in zip(teacher, expected, strict=True):
        assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_momentum_one_keeps_and_zero_copies():
    student, teacher = make(0), make(1)
    before = [p.detach().clone() for p in teacher]
    update_teacher(student, teacher, 1.0)
    assert all(torch.equal(found, wanted) for found, wanted in zip(teacher, before, strict=True))
    update_teacher(student, teacher, 0.0)
    assert all(torch.equal(found, wanted) for found, wanted in zip(teacher, student, strict=True))


def test_the_update_is_in_place_without_gradient_and_leaves_the_student():
    student, teacher = make(0), make(1)
    places = [p.data_ptr() for p in teacher]
    before = [p.detach().clone() for p in student]
    update_teacher(iter(student), iter(teacher), 0.5)
    assert [p.data_ptr() for p in teacher] == places
    assert all(p.grad_fn is None and p.grad is None for p in student + teacher)
    assert all(torch.equal(found, wanted) for found, wanted in zip(student, before, strict=True))


def test_buffers_are_left_alone():
    student, teacher = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    student(torch.randn(8, 2))
    update_teacher(student.parameters(), teacher.parameters(), 0.5)
    assert teacher.running_mean.tolist() == [0, 0]
    assert teacher.num_batches_tracked == 0


def test_nothing_to_update_is_nothing_done():
    update_teacher([], [], 0.9)


def test_what_does_not_match_is_refused():
    student, teacher = make(0), make(1)
    for momentum in (-0.01, 1.01, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            update_teacher(student, teacher, momentum)
    with pytest.raises(InputError, match="found 3 and 2 tensors"):
        update_teacher(student, teacher[:2], 0.9)
    with pytest.raises(InputError, match="shapes that differ"):
        update_teacher([torch.zeros(1)], [torch.zeros(4)], 0.9)  # would broadcast
