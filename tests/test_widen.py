from __future__ import annotations

import numpy as np
import pytest

from radiodino.runtime.widen import widen

onnx = pytest.importorskip("onnx")
HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


@pytest.fixture
def toy(toy_fp16):
    return toy_fp16.read_bytes()


def test_no_half_precision_is_left(toy):
    model = onnx.load_from_string(widen(memoryview(toy)))
    onnx.checker.check_model(model, full_check=True)
    assert all(tensor.data_type != HALF for tensor in model.graph.initializer)
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    assert all(value.type.tensor_type.elem_type != HALF for value in values)
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert casts
    assert all(node.attribute[0].i == FLOAT for node in casts)


def test_every_weight_keeps_its_value(toy):
    before = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(toy).graph.initializer}
    after = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(widen(memoryview(toy))).graph.initializer
    }
    assert before.keys() == after.keys()
    assert any(values.dtype == np.float16 for values in before.values())
    for name, values in before.items():
        assert np.array_equal(values.astype(after[name].dtype), after[name]), name


def test_halves_stored_as_integers_are_read_too():
    numbers = np.array([0.0, -1.5, 65504.0, 6e-8, np.inf], np.float16)
    tensor = onnx.helper.make_tensor("w", HALF, [5], numbers.tolist())
    tensor_in_int32 = onnx.TensorProto(name="w", data_type=HALF, dims=[5], int32_data=numbers.view(np.uint16).tolist())
    for stored in (tensor, tensor_in_int32):
        model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [stored]))
        widened = onnx.load_from_string(widen(memoryview(model.SerializeToString())))
        assert np.array_equal(onnx.numpy_helper.to_array(widened.graph.initializer[0]), numbers.astype(np.float32))


def test_constants_in_attributes_are_widened():
    value = onnx.numpy_helper.from_array(np.array([1.5], np.float16))
    node = onnx.helper.make_node("Constant", [], ["c"], value=value)
    output = onnx.helper.make_tensor_value_info("c", HALF, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [output]))
    widened = onnx.load_from_string(widen(memoryview(model.SerializeToString())))
    onnx.checker.check_model(widened, full_check=True)
    assert widened.graph.output[0].type.tensor_type.elem_type == FLOAT


def test_a_float_model_stays_as_it_is(toy_fp32):
    data = toy_fp32.read_bytes()
    assert widen(memoryview(data)) == data
