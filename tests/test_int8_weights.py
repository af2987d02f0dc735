from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("onnx")

from radiodino.export.int8.canonical import from_matrix, sum_orders, to_matrix
from radiodino.export.int8.layers import LinearLayer
from radiodino.export.int8.weights import SCHEMES, is_pair_safe, quantise_weight


def layer(kind="MatMul", groups=1):
    return LinearLayer("blocks.0.mlp.fc1", "node", kind, "in", "out", "weight", "bias", groups, 1)


def quantised(weight, scheme="pair-safe", importance=None):
    weight = np.asarray(weight, np.float32)
    if weight.ndim == 2:
        weight = weight[None]
    importance = np.ones(weight.shape[:2], np.float32) if importance is None else importance
    return quantise_weight(weight, importance, [np.arange(weight.shape[1])], scheme)


def saturating_products(activations, weights):
    """What a CPU without VNNI sums to: (R, K) unsigned by (K, N) signed, pairs along K added in 16 bits."""
    pairs = activations.astype(np.int64)[:, :, None] * weights.astype(np.int64)
    pairs = pairs.reshape(len(activations), -1, 2, weights.shape[1]).sum(axis=2)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1)


WEIGHTS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 3), st.integers(1, 19), st.integers(1, 3)), elements=st.floats(-8, 8, width=16)
)


@settings(deadline=None, max_examples=150)
@given(WEIGHTS)
def test_no_pair_of_any_four_can_saturate(weight):
    found = quantised(weight)
    assert is_pair_safe(found.values, [np.arange(weight.shape[1])])
    padded = np.pad(found.values, ((0, 0), (0, -weight.shape[1] % 4), (0, 0))).astype(int)
    fours = padded.reshape(len(weight), -1, 4, weight.shape[2])
    for sign in (1, -1):
        ordered = np.sort(np.maximum(sign * fours, 0), axis=2)
        assert (ordered[:, :, -1] + ordered[:, :, -2]).max() <= 128


@settings(deadline=None, max_examples=100)
@given(WEIGHTS, st.integers(0, 2**31))
def test_it_is_right_where_pairs_are_added_in_16_bits(weight, seed):
    weight = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2), (0, 0)))
    values = quantised(weight).values[0]
    random = np.random.default_rng(seed)
    activations = np.where(random.random((9, len(values))) < 0.7, 255, random.integers(0, 256, (9, len(values))))
    assert np.array_equal(saturating_products(activations, values), activations @ values.astype(np.int64))


def test_unrestricted_weights_saturate_there():
    values = quantised(np.ones((4, 1)), "unrestricted").values[0]
    activations = np.full((1, 4), 255)
    assert saturating_products(activations, values)[0, 0] < (activations @ values.astype(np.int64))[0, 0]


def test_pairs_cost_less_than_seven_bits():
    weight = np.random.default_rng(0).normal(size=(1, 256, 64)).astype(np.float32)
    errors = {name: np.square(quantised(weight, name).restored() - weight).mean() for name in SCHEMES}
    assert errors["unrestricted"] <= errors["pair-safe"] < errors["7 bit"] / 1.5


def test_every_scheme_keeps_to_its_bits():
    weight = np.random.default_rng(1).normal(size=(1, 64, 8))
    for name, scheme in SCHEMES.items():
        assert np.abs(quantised(weight, name).values.astype(int)).max() <= scheme.largest


def test_the_scale_just_holds_the_largest_weight():
    weight = np.array([[0.5, -3.0], [-1.27, 1.0], [0.1, 0.2], [0.2, 0.1]])
    found = quantised(weight, "unrestricted")
    assert found.scales[0] == pytest.approx([0.01, 3 / 127])
    assert np.abs(found.restored()[0] - weight).max() <= 3 / 127 / 2 + 1e-7


def test_what_is_multiplied_with_much_is_cut_less():
    weight = np.array([[1.0], [1.0], [0.0], [0.9]])
    for loud in (0, 1):
        importance = np.ones((1, 4), np.float32)
        importance[0, loud] = 1e6
        restored = quantised(weight, importance=importance).restored()[0, :, 0]
        assert abs(restored[loud] - 1) < 0.02
        assert is_pair_safe(quantised(weight, importance=importance).values, [np.arange(4)])


def test_a_channel_of_nothing_stays_nothing():
    found = quantised(np.zeros((5, 2)))
    assert not found.values.any()
    assert (found.scales > 0).all()
    assert np.isfinite(found.restored()).all()


def test_an_input_that_is_always_zero_breaks_nothing():
    found = quantised(np.full((4, 1), 0.25), importance=np.zeros((1, 4), np.float32))
    assert np.abs(found.restored() - 0.25).max() < 0.002


@pytest.mark.parametrize(
    ("kind", "groups", "shape"),
    [("MatMul", 1, (6, 10)), ("Conv", 1, (10, 6, 3, 3)), ("Conv", 6, (6, 1, 5, 5)), ("Conv", 2, (10, 3, 3, 1))],
)
def test_a_weight_survives_the_way_to_a_matrix_and_back(kind, groups, shape):
    weight = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    matrix = to_matrix(weight, layer(kind, groups))
    assert matrix.shape[0] == groups
    assert np.array_equal(from_matrix(matrix, layer(kind, groups), shape), weight)


def test_a_convolution_is_safe_with_channels_outermost_and_innermost():
    weight = np.random.default_rng(3).normal(size=(16, 8, 3, 3)).astype(np.float32)
    weight[:, ::2] *= 5  # large ones side by side in one order and not in the other
    conv = layer("Conv")
    orders = sum_orders(conv, weight.shape)
    assert len(orders) == 2
    assert sorted(orders[1]) == list(orders[0])
    assert np.array_equal(orders[1][:4], [0, 9, 18, 27])  # four channels of the first place of the kernel
    matrix = to_matrix(weight, conv)
    both = quantise_weight(matrix, np.ones(matrix.shape[:2], np.float32), orders)
    assert is_pair_safe(both.values, orders)
    one = quantise_weight(matrix, np.ones(matrix.shape[:2], np.float32), orders[:1])
    assert not is_pair_safe(one.values, orders)


@pytest.mark.parametrize("shape", [(4, 8, 1, 1), (8, 1, 3, 3)])
def test_one_order_is_enough_where_there_is_one_channel_or_one_place(shape):
    assert len(sum_orders(layer("Conv"), shape)) == 1
