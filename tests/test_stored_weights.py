from __future__ import annotations

import pytest

from radiodino.runtime.stored_weights import has_half_weights, patch_size


def test_half_weights_are_recognised(toy_fp16, toy_fp32):
    assert has_half_weights(memoryview(toy_fp16.read_bytes()))
    assert not has_half_weights(memoryview(toy_fp32.read_bytes()))


def test_the_patch_is_read_from_its_embedding(toy_fp16, toy_fp32):
    assert patch_size(memoryview(toy_fp16.read_bytes())) == 16
    assert patch_size(memoryview(toy_fp32.read_bytes())) == 16


@pytest.mark.parametrize("shape", [(48, 3, 8, 8), (48, 3, 14, 14)])
def test_shapes_are_read_packed_and_not(shape):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, shape, bytes(4 * 48 * 3 * shape[2] ** 2), raw=True)
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor]))
    assert patch_size(memoryview(model.SerializeToString())) == shape[2]


def test_a_network_without_a_patch_embedding_tells_nothing():
    onnx = pytest.importorskip("onnx")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    assert patch_size(memoryview(model.SerializeToString())) is None
