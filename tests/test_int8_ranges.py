from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from radiodino.export.int8.activations import TensorStatistics  # noqa: E402
from radiodino.export.int8.bias import mean_shift  # noqa: E402
from radiodino.export.int8.ranges import METHODS, candidate_ranges, make_range  # noqa: E402
from radiodino.export.int8.smooth import smoothing_scale  # noqa: E402


def tensor(values):
    values = np.asarray(values, np.float32)
    return TensorStatistics(values.min(axis=0), values.max(axis=0), values)


@settings(deadline=None)
@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32))
def test_a_range_holds_its_ends_and_zero(a, b):
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    found = make_range("min-max", min(a, b), max(a, b))
    assert 0 <= found.zero_point <= 255
    assert found.rounded(np.zeros(1, np.float32))[0] == 0
    ends = np.array([low, high], np.float32)
    assert np.abs(found.rounded(ends) - ends).max() <= max(found.scale, 1e-37) * 1.01


@settings(deadline=None)
@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32))
def test_a_symmetric_range_has_its_zero_in_the_middle(a, b):
    found = make_range("min-max", min(a, b), max(a, b), symmetric=True)
    assert (found.zero_point, found.symmetric) == (0, True)
    ends = np.array([min(a, b), max(a, b), 0.0], np.float32)
    assert np.abs(found.rounded(ends) - ends).max() <= max(found.scale, 1e-37) * 1.01
    assert np.array_equal(found.rounded(-ends), -found.rounded(ends))


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_range_is_rounded_as_the_engine_rounds(symmetric):
    found = make_range("min-max", -1.3, 2.9, symmetric=symmetric)
    values = np.linspace(-4, 4, 5000, dtype=np.float32)
    names = ["x", "scale", "zero_point"]
    constants = [
        numpy_helper.from_array(np.float32(found.scale), "scale"),
        numpy_helper.from_array((np.int8 if symmetric else np.uint8)(found.zero_point), "zero_point"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", names, ["q"]),
            helper.make_node("DequantizeLinear", ["q", *names[1:]], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [len(values)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(values)])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": values})[0], found.rounded(values))


def test_min_max_holds_every_value_and_a_percentile_leaves_outliers_out():
    values = np.random.default_rng(0).normal(size=(1000, 20)).astype(np.float32)
    values[3, 7] = 500
    found = {found.method: found for found in candidate_ranges(tensor(values))}
    assert tuple(found) == METHODS
    assert found["min-max"].rounded(values)[3, 7] == pytest.approx(500, rel=0.01)
    assert found["percentile 99.9"].scale < found["percentile 99.99"].scale < found["min-max"].scale / 20


def test_least_squares_is_the_best_that_can_be_had_by_shrinking():
    values = np.random.default_rng(1).normal(size=(10000, 20)).astype(np.float32)
    values[0, 0] = 20
    errors = {
        found.method: np.square(found.rounded(values) - values).sum()
        for found in candidate_ranges(tensor(values), ("min-max", "least squares"))
    }
    assert errors["least squares"] < 0.95 * errors["min-max"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_symmetric_ranges(method):
    values = np.random.default_rng(4).gamma(2.0, size=(1000, 20))
    (found,) = candidate_ranges(tensor(values), (method,), symmetric=True)
    assert (found.method, found.zero_point, found.symmetric) == (method, 0, True)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_stays_zero(method, symmetric):
    (found,) = candidate_ranges(tensor(np.zeros((5, 3))), (method,), symmetric=symmetric)
    assert found.scale > 0
    assert not found.rounded(np.zeros(3, np.float32)).any()


def test_a_bias_takes_back_what_rounding_shifts():
    exact = np.random.default_rng(2).normal(size=(2, 50, 3)).astype(np.float32)
    shift = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    assert mean_shift(exact, exact - shift) == pytest.approx(np.arange(6), abs=1e-5)


def test_smoothing_divides_loud_channels_and_leaves_silent_ones():
    scale = smoothing_scale(np.array([100.0, 1.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0, 1.0]), 0.5)
    assert scale[0] / scale[1] == pytest.approx(10)
    assert scale[0] * scale[1] == pytest.approx(1)  # around 1, so that no channel grows beyond what it was
    assert list(scale[2:]) == [1, 1]


def test_smoothing_is_bounded():
    scale = smoothing_scale(np.array([1e7, 1e-7]), np.ones(2), 0.9)
    assert scale == pytest.approx([1e3, 1e-3])
