from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.masks import block_mask, draw_masks  # noqa: E402


def oracle(grid, count, generator):
    """The published procedure on a set of patches, one patch at a time, with the same random numbers."""
    hidden = set()
    while len(hidden) < count:
        most = min(count - len(hidden), (grid // 2) * grid)
        for _ in range(10):
            area = 4 + (most - 4) * generator.random()
            low, high = math.log(0.3), -math.log(0.3)
            aspect = math.exp(low + (high - low) * generator.random())
            height, width = (int(round(math.sqrt(x))) for x in (area * aspect, area / aspect))  # noqa: RUF046
            if height < grid and width < grid:
                top, left = generator.randint(0, grid - height), generator.randint(0, grid - width)
                block = {(top + y, left + x) for y in range(height) for x in range(width)}
                if 0 < len(block - hidden) <= most:
                    hidden |= block
                    break
        else:
            break
    return np.array([[(y, x) in hidden for x in range(grid)] for y in range(grid)])


@settings(max_examples=150, deadline=None)
@given(grid=st.integers(2, 16), share=st.floats(0, 0.9), seed=st.integers(0, 9999))
def test_a_mask_is_the_oracles_and_the_stream_where_the_oracle_leaves_it(grid, share, seed):
    count = int(share * grid * grid)
    ours, theirs = random.Random(seed), random.Random(seed)
    found = block_mask(grid, count, ours)
    assert found.dtype == bool
    assert np.array_equal(found, oracle(grid, count, theirs))
    assert ours.getstate() == theirs.getstate()
    assert found.sum() <= count


def test_nearly_every_mask_hides_exactly_what_was_asked_for():
    generator = random.Random(0)
    for grid in (14, 16):
        exact = 0
        for place in range(300):
            count = int(grid * grid * (0.1 + 0.4 * place / 300))
            hidden = int(block_mask(grid, count, generator).sum())
            assert 0.8 * count <= hidden <= count
            exact += hidden == count
        assert exact > 250


def test_blocks_have_the_aspects_allowed():
    """The first block of a mask, seen by asking for little: at least 1 and at most 4 patches a side here."""
    sides = set()
    for seed in range(400):
        rows, columns = np.nonzero(block_mask(14, 4, random.Random(seed)))
        sides.add((rows.max() - rows.min() + 1, columns.max() - columns.min() + 1))
    assert {(1, 4), (4, 1), (2, 2)} <= {(int(h), int(w)) for h, w in sides}


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 40),
    grid=st.integers(1, 14),
    ratio=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    probability=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_the_parts_of_a_batch_agree(batch, grid, ratio, probability, seed):
    found = draw_masks(batch, grid, random.Random(seed), ratio=tuple(ratio), probability=probability)
    assert found.mask.shape == (batch, grid * grid)
    assert found.mask.dtype == torch.bool
    flat = found.mask.flatten().tolist()
    assert found.indices.tolist() == [place for place, hidden in enumerate(flat) if hidden]
    assert found.indices.dtype == torch.int64
    expected = [1 / found.mask[place // grid**2].sum().item() for place in found.indices.tolist()]
    assert found.weights.dtype == torch.float32
    torch.testing.assert_close(found.weights, torch.tensor(expected))
    assert len(found.indices) <= found.upper_bound
    counts = found.mask.sum(1)
    assert int((counts > 0).sum()) <= int(batch * probability)
    assert counts.max() <= ratio[1] * grid * grid


def test_half_the_batch_is_masked_with_ratios_spread_over_the_range():
    counts = torch.cat([draw_masks(64, 14, random.Random(seed)).mask.sum(1) for seed in range(20)]).reshape(20, 64)
    assert ((counts > 0).sum(1) == 32).all()
    shares = counts.sort(1).values[:, 32:] / 196
    steps = torch.linspace(0.1, 0.5, 33)
    # One in each part of the range, but for what rounding down and the rare block without a place take away.
    assert (shares <= steps[1:]).all()
    assert (shares >= steps[:-1] - 1 / 196).double().mean() > 0.85
    assert float(shares.mean()) == pytest.approx(0.3, abs=0.01)


def test_masked_crops_lie_anywhere_in_the_batch():
    often = sum((draw_masks(16, 7, random.Random(seed)).mask.sum(1) > 0).double() for seed in range(400)) / 400
    assert (often - 0.5).abs().max() < 4 * (0.25 / 400) ** 0.5


def test_patches_are_hidden_everywhere_and_most_often_in_the_middle():
    often = torch.stack([draw_masks(32, 14, random.Random(seed)).mask.double().mean(0) for seed in range(60)]).mean(0)
    often = often.reshape(14, 14)
    assert float(often.mean()) == pytest.approx(0.15, abs=0.01)
    assert often.min() > 0.01
    assert often[5:9, 5:9].mean() > 1.3 * often[[0, 0, -1, -1], [0, -1, 0, -1]].mean()


def test_the_same_state_gives_the_same_masks():
    one, same, other = (draw_masks(8, 14, random.Random(seed)).mask for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_nothing_is_hidden_where_nothing_is_to_be():
    found = draw_masks(4, 6, random.Random(0), probability=0.0)
    assert not found.mask.any()
    assert len(found.indices) == len(found.weights) == found.upper_bound == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"grid": 0},
        {"ratio": (0.5, 0.1)},
        {"ratio": (-0.1, 0.5)},
        {"ratio": (0.1, 1.1)},
        {"probability": 1.5},
        {"probability": float("nan")},
    ],
)
def test_refuses_what_is_out_of_range(wrong):
    arguments = {"batch": 4, "grid": 6, "generator": random.Random(0), **wrong}
    with pytest.raises(InputError, match=r"masks need .*, found batch .*: change them"):
        draw_masks(**arguments)
