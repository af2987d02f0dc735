from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("timm")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from radiodino.export.cleanup import clean_up  # noqa: E402
from radiodino.export.divergence import stages  # noqa: E402
from radiodino.export.engine import open_graph  # noqa: E402
from radiodino.export.half import KEPT_FLOAT, to_half  # noqa: E402
from radiodino.export.ranges import HALF_MAX, HEADROOM, largest_values, nodes_beyond_half  # noqa: E402
from radiodino.export.trace import trace  # noqa: E402
from radiodino.train.weights.load import load_weights  # noqa: E402

OUTPUTS = ("embedding", "patch_tokens", "attention")


@pytest.fixture(scope="module")
def fp32(toy):
    backbone, _ = load_weights(toy, "random", image_size=64)
    return clean_up(trace(backbone, 64, OUTPUTS), stages(backbone))


@pytest.fixture(scope="module")
def fp16(fp32):
    return to_half(fp32, set())


def casts(model):
    return [node for node in model.graph.node if node.op_type == "Cast"]


def types(model):
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def test_no_cast_reads_a_cast(fp16):
    cast_outputs = {node.output[0] for node in casts(fp16)}
    assert not [node.name for node in casts(fp16) if node.input[0] in cast_outputs]


def test_no_tensor_is_cast_twice(fp16):
    assert max(Counter((node.input[0], node.attribute[0].i) for node in casts(fp16)).values()) == 1


def test_there_are_no_more_casts_than_needed(fp16, toy):
    # In and out of each LayerNorm and Softmax; the input; the last block's attention and the final norm are outputs
    # already in float32, so nothing is cast behind the final norm.
    norms_and_softmaxes = 3 * toy.depth + 1
    assert len(casts(fp16)) == 2 * norms_and_softmaxes - 1 + 1


def test_norms_and_softmaxes_stay_float(fp16):
    type_of = types(fp16)
    kept = [node for node in fp16.graph.node if node.op_type in KEPT_FLOAT]
    assert kept
    for node in kept:
        names = [*node.input, *node.output]
        assert {type_of[name] for name in names} == {TensorProto.FLOAT}, node.name


def test_all_other_arithmetic_is_half(fp16):
    type_of = types(fp16)
    arithmetic = [node for node in fp16.graph.node if node.op_type in ("MatMul", "Add", "Mul", "Gelu", "Conv")]
    assert arithmetic
    for node in arithmetic:
        assert {type_of[name] for name in [*node.input, *node.output]} == {TensorProto.FLOAT16}, node.name


def test_inputs_and_outputs_stay_float32(fp16, fp32):
    assert fp16.graph.input == fp32.graph.input
    assert fp16.graph.output == fp32.graph.output


def test_weights_take_half_the_space(fp16, fp32):
    def size(model):
        return sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)

    assert size(fp16) < 0.55 * size(fp32)


def one_layer(weight, scale):
    """A graph of a product, a sum with the product (a residual) and a LayerNorm."""
    initializers = [
        numpy_helper.from_array(weight.astype(np.float32), "weight"),
        numpy_helper.from_array(np.float32(scale).reshape(1), "scale"),
        numpy_helper.from_array(np.ones(4, np.float32), "gamma"),
    ]
    nodes = [
        helper.make_node("MatMul", ["image", "weight"], ["product"], "product"),
        helper.make_node("Mul", ["product", "scale"], ["scaled"], "scaled"),
        helper.make_node("LayerNormalization", ["scaled", "gamma"], ["norm"], "norm"),
        helper.make_node("MatMul", ["norm", "weight"], ["embedding"], "embedding"),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4])  # noqa: E731
    graph = helper.make_graph(nodes, "g", [value("image")], [value("embedding")], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def test_operators_beyond_the_half_range_stay_float():
    model = one_layer(np.eye(4), 1e6)
    batch = np.array([[1, 2, 3, 4]], np.float32)
    largest = largest_values(model, [batch])
    assert largest["scaled"] == pytest.approx(4e6)
    beyond = nodes_beyond_half(model, largest)
    assert beyond == {"scaled", "norm"}
    half = to_half(model, beyond)
    expected = open_graph(model, "onnxruntime").run(batch)["embedding"]
    for compute in ("fp16", "fp32"):
        found = open_graph(half, "onnxruntime", compute, "fp16").run(batch)["embedding"]
        assert np.allclose(found, expected, atol=2e-3)
    broken = open_graph(to_half(model, set()), "onnxruntime", "fp16", "fp16").run(batch)["embedding"]
    assert not np.allclose(broken, expected, atol=2e-3)  # the fixture does need what the pass does


def test_headroom_counts_as_beyond():
    limit = HALF_MAX / HEADROOM
    model = one_layer(np.eye(4), 1.0)
    assert nodes_beyond_half(model, {"scaled": limit * 1.01}) == {"scaled", "norm"}
    assert nodes_beyond_half(model, {"scaled": limit * 0.99}) == set()


def test_a_weight_beyond_the_half_range_counts():
    model = one_layer(np.eye(4) * 1e5, 1e-5)
    largest = largest_values(model, [np.zeros((1, 4), np.float32)])
    assert {"product", "embedding"} <= nodes_beyond_half(model, largest)


def test_an_output_that_is_read_inside_is_returned_in_float32():
    model = one_layer(np.eye(4), 1.0)
    model.graph.output.append(next(value for value in model.graph.value_info if value.name == "product"))
    half = to_half(model, set())
    assert {value.type.tensor_type.elem_type for value in half.graph.output} == {TensorProto.FLOAT}
    batch = np.array([[1, 2, 3, 4]], np.float32)
    assert np.allclose(open_graph(half, "onnxruntime", "fp16", "fp16").run(batch)["product"], batch)
    cast_outputs = {node.output[0] for node in casts(half)}
    assert not [node.name for node in casts(half) if node.input[0] in cast_outputs]
