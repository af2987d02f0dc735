"""An fp32 graph with 8-bit weights whose inputs are rounded batch by batch, for those who cannot calibrate.

The linear layers of the backbone alone: operators of the ONNX standard (DynamicQuantizeLinear, MatMulInteger), which
ONNX Runtime fuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from .canonical import from_matrix, sum_orders, to_matrix
from .layers import LinearLayer
from .weights import quantise_weight

LIMITS = (
    "the range of a layer's input is that of its whole batch, so that an image's answer depends a little on the images "
    "beside it",
    "only ONNX Runtime gains by it: OpenVINO computes it more slowly than an fp32 file, so that auto passes it over",
)
CONVOLUTIONS_STAY = "the convolutions of the segmentation head stay float"


def dynamic_layers(layers: Sequence[LinearLayer]) -> list[LinearLayer]:
    """Those of `layers` that `to_dynamic` computes in 8 bits."""
    return [layer for layer in layers if layer.kind == "MatMul"]


def to_dynamic(model: onnx.ModelProto, layers: Sequence[LinearLayer]) -> onnx.ModelProto:
    """`model` with `layers` in 8 bits, their inputs rounded in the range of each batch.

    Args:
        model: fp32 with inferred types, as `radiodino.export.cleanup.clean_up` gives it; left as it is.
        layers: of `dynamic_layers`.

    Returns:
        A checked model with inferred types, of the same inputs and outputs.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    by_node = {layer.node: layer for layer in layers}
    nodes: list[NodeProto] = []
    rounded: set[str] = set()
    for node in graph.node:
        layer = by_node.get(node.name)
        if layer is None:
            nodes.append(node)
            continue
        if layer.input not in rounded:
            rounded.add(layer.input)
            parts = [f"{layer.input}/{part}" for part in ("quantised", "scale", "zero_point")]
            nodes.append(helper.make_node("DynamicQuantizeLinear", [layer.input], parts, parts[0]))
        values, scales = _rounded(numpy_helper.to_array(tensors[layer.weight]), layer)
        _store(tensors[layer.weight], values)
        scale = graph.initializer.add(name=f"{layer.weight}/scale")
        _store(scale, scales)
        nodes += _product(node, layer)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    result = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    onnx.checker.check_model(result, full_check=True)
    return result


def _rounded(weight: NDArray[np.float32], layer: LinearLayer) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
    matrix = to_matrix(weight, layer)
    every = np.ones(matrix.shape[:2], np.float32)  # without images each input counts as much as any other
    found = quantise_weight(matrix, every, sum_orders(layer, weight.shape))
    return from_matrix(found.values, layer, weight.shape), found.scales.ravel()


def _product(node: NodeProto, layer: LinearLayer) -> list[NodeProto]:
    """What takes the place of `node`, in the form that ONNX Runtime fuses."""
    source, name = layer.input, node.output[0]

    def make(operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
        return helper.make_node(operator, inputs, [output], output, **attributes)

    return [
        make("MatMulInteger", [f"{source}/quantised", layer.weight, f"{source}/zero_point"], f"{name}/integer"),
        make("Cast", [f"{name}/integer"], f"{name}/float", to=TensorProto.FLOAT),
        make("Mul", [f"{source}/scale", f"{layer.weight}/scale"], f"{name}/scale"),
        make("Mul", [f"{name}/float", f"{name}/scale"], name),
    ]


def _store(tensor: TensorProto, values: NDArray[np.generic]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
