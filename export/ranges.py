"""How large the values of a graph get: an operator that leaves the half range cannot be computed in FP16."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from .engine import Batch, cpu_backends, open_graph

HALF_MAX = 65504.0
HEADROOM = 4.0
"""Probe images are a sample: what comes within a factor of 4 of the half range counts as leaving it."""


def largest_values(model: onnx.ModelProto, batches: list[Batch]) -> dict[str, float]:
    """The largest magnitude of each float tensor of `model` over `batches`, weights included.

    Args:
        model: fp32 ONNX model with inferred types.
        batches: network inputs, each float32 (B, 3, S, S).
    """
    largest = {
        tensor.name: float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0.0))
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    # One scalar per tensor leaves the graph, so that a large model's activations need not all be held at once.
    tensors = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    watched = [value.name for value in tensors if value.type.tensor_type.elem_type == TensorProto.FLOAT]
    watched = [name for name in watched if name not in largest]
    for index, name in enumerate(watched):
        probe.graph.node.append(helper.make_node("Abs", [name], [f"probe/abs_{index}"]))
        probe.graph.node.append(helper.make_node("ReduceMax", [f"probe/abs_{index}"], [f"probe/{index}"], keepdims=0))
        probe.graph.output.append(helper.make_tensor_value_info(f"probe/{index}", TensorProto.FLOAT, []))
    backend = open_graph(probe, cpu_backends()[0].name)
    for batch in batches:
        found = backend.run(batch)
        for index, name in enumerate(watched):
            value = float(found[f"probe/{index}"])
            largest[name] = max(largest.get(name, 0.0), value if np.isfinite(value) else np.inf)
    return largest


def nodes_beyond_half(model: onnx.ModelProto, largest: dict[str, float]) -> set[str]:
    """The names of the nodes that read or write a value outside the half range, with `HEADROOM` to spare."""
    limit = HALF_MAX / HEADROOM
    return {
        node.name
        for node in model.graph.node
        if any(largest.get(name, 0.0) > limit for name in (*node.input, *node.output))
    }
