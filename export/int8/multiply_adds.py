"""How many multiplications a graph holds: what an int8 file's float parts still cost is a share of them."""

from __future__ import annotations

from math import prod

import onnx


def multiply_adds(model: onnx.ModelProto) -> int:
    """Of all matrix products and convolutions of `model`, for one image.

    Args:
        model: fp32 with inferred types, as `radiodino.export.cleanup.clean_up` gives it.
    """
    graph = model.graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        # The batch is the only dynamic size: one image.
        shapes[value.name] = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    return sum(_of(node, shapes) for node in graph.node)


def _of(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type == "MatMul":
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    if node.op_type == "Gemm":
        flipped = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if flipped else 1]
    if node.op_type == "Conv":
        return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    return 0
