from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from radiodino.train.pretrain.sampler import epoch_order, generator, step_indices


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
