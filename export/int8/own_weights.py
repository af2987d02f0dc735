"""Weights that nodes share are given to each of its own: a traced graph keeps equal ones once."""

from __future__ import annotations

import onnx
from onnx import TensorProto

_CHANGED = frozenset({"Add", "Conv", "LayerNormalization", "MatMul"})
"""Operators whose weights are rewritten, which another reader must not see."""


def with_own_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` in which no two of the operators that are rewritten read the same float initializer."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    owners: set[str] = set()
    for node in graph.node:
        if node.op_type not in _CHANGED:
            continue
        for index, name in enumerate(node.input):
            if name not in tensors or name not in owners:
                owners.add(name)
                continue
            own = _new_name(node, name, taken)
            taken.add(own)
            tensor = graph.initializer.add()
            tensor.CopyFrom(tensors[name])
            tensor.name = node.input[index] = own
    return copied


def _new_name(node: onnx.NodeProto, old: str, taken: set[str]) -> str:
    """The module's path and the weight's role, such as ``blocks.3.norm1.bias``."""
    wanted = f"{node.name.partition('/')[0]}.{old.rpartition('.')[2]}"
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    return name
