from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError
from radiodino.train.ssl.schedules import (
    cosine_schedule,
    epoch_teacher_temperatures,
    frozen_start,
    iteration_cosine_schedule,
    iteration_teacher_temperatures,
)


def cosine(base, final, step, steps):
    return final + 0.5 * (base - final) * (1 + math.cos(math.pi * step / steps))


def line(start, end, step, steps):
    return start + (end - start) * step / (steps - 1) if steps > 1 else start


@settings(max_examples=60, deadline=None)
@given(
    epochs=st.integers(1, 6),
    steps=st.integers(1, 7),
    warmup=st.integers(0, 6),
    base=st.sampled_from([5e-4, 0.04, 0.996]),
    final=st.sampled_from([1e-6, 0.4, 1.0]),
    start=st.sampled_from([0.0, 1e-5]),
)
def test_dino_schedule_value_by_value(epochs, steps, warmup, base, final, start):
    warmup = min(warmup, epochs)
    found = cosine_schedule(base, final, epochs, steps, warmup, start)
    assert found.shape == (epochs * steps,)
    assert found.dtype == np.float64
    risen = warmup * steps
    for step, value in enumerate(found):
        if step < risen:
            assert value == pytest.approx(line(start, base, step, risen), rel=1e-12, abs=1e-15)
        else:
            assert value == pytest.approx(cosine(base, final, step - risen, epochs * steps - risen), rel=1e-12)


def test_dino_schedule_of_the_learning_rate():
    found = cosine_schedule(5e-4, 1e-6, epochs=100, steps_per_epoch=10, warmup_epochs=10)
    assert found[0] == 0
    assert found[99] == found[100] == found.max() == 5e-4  # the warm-up's end and the cosine's start
    assert found[550] == pytest.approx((5e-4 + 1e-6) / 2)
    assert 1e-6 < found[-1] < 2e-6
    assert (np.diff(found[100:]) < 0).all()


def test_dino_schedules_that_rise():
    momentum = cosine_schedule(0.996, 1, 10, 5)
    assert momentum[0] == 0.996
    assert (np.diff(momentum) > 0).all()
    assert momentum[-1] < 1


@settings(max_examples=60, deadline=None)
@given(frozen=st.integers(0, 5), warmup=st.integers(0, 5), cosine_steps=st.integers(0, 8))
def test_dinov2_schedule_value_by_value(frozen, warmup, cosine_steps):
    total = frozen + warmup + cosine_steps
    if total == 0:
        return
    found = iteration_cosine_schedule(4e-3, 1e-6, total, warmup, 1e-5, frozen)
    expected = [0.0] * frozen
    expected += [line(1e-5, 4e-3, step, warmup) for step in range(warmup)]
    expected += [cosine(4e-3, 1e-6, step, cosine_steps) for step in range(cosine_steps)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert found.dtype == np.float64


def test_both_schedules_are_one_when_nothing_is_frozen():
    assert np.array_equal(cosine_schedule(1, 0.1, 6, 5, 2, 0.3), iteration_cosine_schedule(1, 0.1, 30, 10, 0.3))


def test_dino_teacher_temperature_per_epoch():
    found = epoch_teacher_temperatures(0.04, 0.07, epochs=100, warmup_epochs=30)
    assert found.shape == (100,)
    for epoch, value in enumerate(found):
        assert value == pytest.approx(line(0.04, 0.07, epoch, 30) if epoch < 30 else 0.07, rel=1e-12)
    assert epoch_teacher_temperatures(0.03, 0.04, 5).tolist() == [0.04] * 5
    assert epoch_teacher_temperatures(0.03, 0.04, 3, 1).tolist() == [0.03, 0.04, 0.04]
    assert epoch_teacher_temperatures(0.04, 0.07, 4, 4)[-1] == pytest.approx(0.07)


def test_dinov2_teacher_temperature_per_iteration():
    found = iteration_teacher_temperatures(0.04, 0.07, iterations=50, warmup_iterations=30)
    for step, value in enumerate(found):
        assert value == pytest.approx(line(0.04, 0.07, step, 30) if step < 30 else 0.07, rel=1e-12)
    short = iteration_teacher_temperatures(0.04, 0.07, iterations=10, warmup_iterations=30)
    assert short.tolist() == found[:10].tolist()
    assert iteration_teacher_temperatures(0.04, 0.07, 2, 0).tolist() == [0.07, 0.07]


def test_a_frozen_start_is_zero_and_the_rest_stays():
    schedule = cosine_schedule(1, 0.1, 4, 5, 1)
    before = schedule.copy()
    found = frozen_start(schedule, 7)
    assert found[:7].tolist() == [0] * 7
    assert np.array_equal(found[7:], schedule[7:])
    assert np.array_equal(schedule, before)
    assert not frozen_start(schedule, 99).any()
    assert np.array_equal(frozen_start(schedule, 0), schedule)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cosine_schedule(1, 0, 0, 5), "epochs of at least 1, found 0"),
        (lambda: cosine_schedule(1, 0, 5, 0), "steps_per_epoch of at least 1, found 0"),
        (lambda: cosine_schedule(1, 0, 5, 5, 6), r"warmup_epochs from 0 to epochs \(5\), found 6"),
        (lambda: cosine_schedule(1, 0, 5, 5, -1), "warmup_epochs from 0"),
        (lambda: iteration_cosine_schedule(1, 0, 0), "iterations of at least 1"),
        (lambda: iteration_cosine_schedule(1, 0, 5, -1), "warmup_iterations of at least 0"),
        (lambda: iteration_cosine_schedule(1, 0, 5, 0, 0, -1), "frozen_iterations of at least 0"),
        (lambda: iteration_cosine_schedule(1, 0, 5, 3, 0, 3), r"from 0 to iterations \(5\), found 6"),
        (lambda: epoch_teacher_temperatures(0.04, 0.07, 0), "epochs of at least 1"),
        (lambda: epoch_teacher_temperatures(0.04, 0.07, 10, 30), r"from 0 to epochs \(10\), found 30"),
        (lambda: epoch_teacher_temperatures(0.0, 0.07, 10), "must be above 0, found 0"),
        (lambda: epoch_teacher_temperatures(0.04, -1, 10), "must be above 0, found -1"),
        (lambda: iteration_teacher_temperatures(0.04, 0.07, 0, 5), "iterations of at least 1"),
        (lambda: iteration_teacher_temperatures(0.04, 0.07, 5, -1), "warmup_iterations of at least 0"),
        (lambda: iteration_teacher_temperatures(float("nan"), 0.07, 5, 1), "must be above 0"),
        (lambda: frozen_start(np.ones(3), -1), "iterations of at least 0"),
    ],
)
def test_what_is_out_of_range_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
