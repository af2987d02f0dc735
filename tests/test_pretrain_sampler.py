from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from radiodino.train.pretrain.sampler import Balance, epoch_order, generator, step_indices


def test_an_epoch_takes_each_image_once():
    order = epoch_order(103, seed=0, epoch=3)
    steps = [step_indices(order, step, 10) for step in range(10)]
    taken = torch.cat(steps)
    assert len(set(taken.tolist())) == 100
    assert set(taken.tolist()) < set(range(103))


def test_orders_differ_by_seed_and_epoch_and_repeat():
    assert torch.equal(epoch_order(50, 0, 1), epoch_order(50, 0, 1))
    assert not torch.equal(epoch_order(50, 0, 1), epoch_order(50, 0, 2))
    assert not torch.equal(epoch_order(50, 0, 1), epoch_order(50, 1, 1))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_together_take_what_one_process_takes(ranks):
    order = epoch_order(64, 0, 0)
    for step in range(8):
        together = torch.cat([step_indices(order, step, 8, rank, ranks) for rank in range(ranks)])
        assert torch.equal(together, step_indices(order, step, 8))


def test_generators_of_neighbouring_numbers_are_unrelated():
    draws = [torch.rand(2000, generator=generator(0, step, 1)) for step in range(4)]
    draws.append(torch.rand(2000, generator=generator(0, 0, 2)))
    correlations = torch.corrcoef(torch.stack(draws)) - torch.eye(5)
    assert correlations.abs().max() < 0.1


def test_without_balance_an_epoch_takes_each_image_once():
    order = Balance(("a",) * 7 + ("b",) * 3, 0.0).order(5, 2)
    assert torch.equal(order, epoch_order(10, 5, 2))


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    strength=st.floats(0.01, 1),
    seed=st.integers(0, 9),
)
def test_balanced_epochs_hold_their_share_of_each_source_and_spend_each_evenly(counts, strength, seed):
    sources = [str(number) for number, count in enumerate(counts) for _ in range(count)]
    epochs = [Balance(sources, strength).order(seed, epoch).tolist() for epoch in range(4)]
    assert all(len(epoch) == len(sources) for epoch in epochs)
    weights = [count ** (1 - strength) for count in counts]
    for number, (count, weight) in enumerate(zip(counts, weights, strict=True)):
        own = [index for index, source in enumerate(sources) if source == str(number)]
        drawn = [sum(index in own for index in epoch) for epoch in epochs]
        assert max(abs(found - len(sources) * weight / sum(weights)) for found in drawn) <= 1
        times = Counter(index for epoch in epochs for index in epoch)
        spent = [times[index] for index in own]
        assert max(spent) - min(spent) <= 1, count  # drawn once each before any is drawn again


def test_full_balance_draws_from_every_source_equally():
    sources = ["large"] * 30 + ["small"] * 6
    drawn = Counter(sources[index] for index in Balance(sources, 1.0).order(0, 0).tolist())
    assert drawn == {"large": 18, "small": 18}
