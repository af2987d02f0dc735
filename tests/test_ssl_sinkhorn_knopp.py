from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.sinkhorn_knopp import sinkhorn_knopp  # noqa: E402


def make(samples, prototypes, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (samples, prototypes)).astype(np.float32))


def oracle(logits, temperature, iterations):
    """The usual description with its constants: prototypes sum to 1/K, samples to 1/B, and B at the end."""
    table = [[np.exp(float(x) / temperature) for x in row] for row in logits.tolist()]
    samples, prototypes = len(table), len(table[0])
    total = sum(sum(row) for row in table)
    table = [[x / total for x in row] for row in table]
    for _ in range(iterations):
        for k in range(prototypes):
            column = sum(row[k] for row in table)
            for row in table:
                row[k] /= column * prototypes
        for row in table:
            share = sum(row)
            for k in range(prototypes):
                row[k] /= share * samples
    return np.array(table) * samples


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 7),
    prototypes=st.integers(1, 7),
    temperature=st.sampled_from([0.04, 0.07, 1.0]),
    iterations=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_agrees_with_a_slow_oracle(samples, prototypes, temperature, iterations, seed):
    logits = make(samples, prototypes, seed)
    found = sinkhorn_knopp(logits, temperature, iterations)
    assert found.dtype == torch.float32
    assert np.allclose(found.numpy(), oracle(logits, temperature, iterations), rtol=2e-5, atol=1e-7)


def test_three_iterations_are_the_default():
    logits = make(5, 4)
    assert torch.equal(sinkhorn_knopp(logits, 0.05), sinkhorn_knopp(logits, 0.05, 3))


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 20), prototypes=st.integers(1, 20), seed=st.integers(0, 99))
def test_the_marginals(samples, prototypes, seed):
    logits = make(samples, prototypes, seed)
    assert torch.allclose(sinkhorn_knopp(logits, 0.07).sum(dim=1), torch.ones(samples), rtol=1e-5)
    settled = sinkhorn_knopp(logits, 0.5, 200)
    assert (settled >= 0).all()
    assert torch.allclose(settled.sum(dim=0), torch.full((prototypes,), samples / prototypes), rtol=1e-3)


def test_equal_logits_share_equally():
    assert torch.allclose(sinkhorn_knopp(torch.full((6, 4), 0.3), 0.04), torch.full((6, 4), 0.25))


def test_an_offset_of_a_prototype_changes_nothing():
    logits = make(6, 4)
    shifted = logits + torch.tensor([0.0, 0.5, -0.5, 2.0])
    assert torch.allclose(sinkhorn_knopp(shifted, 0.1), sinkhorn_knopp(logits, 0.1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("offset", [1e3, -1e3])
def test_large_logits_neither_overflow_nor_vanish(offset):
    logits = make(6, 4)
    logits[:, 2] += offset  # exp(offset / 0.04) is no float
    found = sinkhorn_knopp(logits, 0.04)
    assert torch.isfinite(found).all()
    assert torch.allclose(found.sum(dim=1), torch.ones(6), rtol=1e-5)


def test_logits_stay_as_they_are_and_there_is_no_gradient():
    logits = make(3, 2).requires_grad_()
    before = logits.detach().clone()
    assert not sinkhorn_knopp(logits, 0.1).requires_grad
    assert torch.equal(logits, before)


def test_reduced_precision_is_computed_in_float32():
    logits = make(5, 3).bfloat16()
    assert torch.equal(sinkhorn_knopp(logits, 0.1), sinkhorn_knopp(logits.float(), 0.1))


def test_no_samples_give_no_targets():
    assert sinkhorn_knopp(torch.zeros(0, 3), 0.1).shape == (0, 3)


def test_what_is_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"not \(2, 3, 4\)"):
        sinkhorn_knopp(torch.zeros(2, 3, 4), 0.1)
    for temperature in (0.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="temperature above 0"):
            sinkhorn_knopp(torch.zeros(2, 3), temperature)
    with pytest.raises(InputError, match="at least 1 iteration"):
        sinkhorn_knopp(torch.zeros(2, 3), 0.1, 0)


RANK = """
import sys, torch
from torch import distributed
from radiodino.train.ssl.sinkhorn_knopp import sinkhorn_knopp
folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
logits = torch.load(f"{folder}/given.pt")
found = []
for shares in ((4, 4), (7, 1), (0, 8)):
    first = sum(shares[:rank])
    found.append(sinkhorn_knopp(logits[first : first + shares[rank]], 0.05))
torch.save(found, f"{folder}/found{rank}.pt")
distributed.destroy_process_group()
"""


def test_two_ranks_assign_as_one_with_the_joined_batch(tmp_path):
    logits = make(8, 5)
    torch.save(logits, tmp_path / "given.pt")
    ranks = [subprocess.Popen([sys.executable, "-c", RANK, str(tmp_path), str(rank)]) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    expected = sinkhorn_knopp(logits, 0.05)
    parts = zip(*(torch.load(tmp_path / f"found{rank}.pt") for rank in range(2)), strict=True)
    for first, second in parts:
        assert torch.allclose(torch.cat([first, second]), expected, rtol=1e-5, atol=1e-8)
