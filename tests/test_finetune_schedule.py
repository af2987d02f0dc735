from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("yaml")

from radiodino.train.classify.recipe import Recipe
from radiodino.train.schedule import learning_rates


def test_the_papers_schedule_in_closed_form():
    rates = learning_rates(Recipe(), 4)
    assert len(rates) == 120
    for step, rate in enumerate(rates):
        cosine = 1e-4 * (1 + math.cos(math.pi * (step - 20) / 100)) / 2
        assert rate == pytest.approx(5e-6 if step < 20 else cosine, rel=1e-12)
    assert rates[20] == 1e-4
    assert rates[70] == pytest.approx(5e-5)


@given(st.integers(1, 20), st.integers(0, 19), st.integers(1, 9), st.floats(0, 1e-5))
def test_the_rate_is_flat_and_then_only_falls(epochs, warmup, steps, minimum):
    warmup = min(warmup, epochs - 1)
    rates = learning_rates(Recipe(epochs=epochs, warmup_epochs=warmup, minimum_learning_rate=minimum), steps)
    warm = warmup * steps
    assert len(rates) == epochs * steps
    assert (rates[:warm] == 5e-6).all()
    assert rates[warm] == pytest.approx(1e-4)
    assert (rates[warm + 1 :] < rates[warm:-1]).all()
    assert rates[-1] > minimum
