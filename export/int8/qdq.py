"""A plan written into the graph: QuantizeLinear and DequantizeLinear around what is computed in 8 bits.

Both are operators of the ONNX standard, so that any engine reads the file; those that know integers fuse them. ONNX
Runtime computes a convolution in integers only where its output is rounded too and its bias is an integer; a matrix
product it computes in integers with a float output, so that its bias stays float. OpenVINO takes a fifth more time for
a network whose matrix products read zero points: their inputs are restored without, which adds the same to every value,
and the bias takes back what comes of it. The function stays the same. TensorRT takes symmetric ranges, and reads no
bias in integers: where ranges are symmetric, all biases stay float.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from .activations import maps_after
from .canonical import Float, from_matrix
from .plan import Plan, PlannedLayer
from .ranges import Range


def write_qdq(plan: Plan, layers: Sequence[PlannedLayer]) -> onnx.ModelProto:
    """The graph of `plan` with `layers` in 8 bits.

    Args:
        plan: see `radiodino.export.int8.plan.plan_quantisation`.
        layers: of it; the others stay float.

    Returns:
        A checked model with inferred types.
    """
    writer = _Writer(plan.model)
    for planned in layers:
        writer.layer(planned)
    for planned in layers:
        if planned.layer.kind == "Conv":
            # What is added to a convolution's output is read rounded too: else the addition would be done in float.
            writer.for_all(planned.layer.input, planned.input_range)
            for name in maps_after(planned.layer):
                writer.for_all(name, plan.output_ranges[name])
    return writer.finish()


class _Writer:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        graph = self.model.graph
        self.nodes = {node.name: node for node in graph.node}
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.added: list[NodeProto] = []
        self.rounded: set[str] = set()

    def layer(self, planned: PlannedLayer) -> None:
        """Round a layer's input and weights, and put in its corrected bias."""
        layer = planned.layer
        node = self.nodes[layer.node]
        shifted = layer.kind == "MatMul" and planned.bias is not None
        node.input[0] = self._activation(layer.input, planned.input_range, shifted=shifted)
        shape = tuple(self.tensors[layer.weight].dims)
        values = from_matrix(planned.weight.values, layer, shape)
        scales = planned.weight.scales.ravel()
        axis = 1 if layer.kind == "MatMul" else 0
        integers = layer.kind == "Conv" and not planned.input_range.symmetric
        if integers and layer.bias is not None and planned.bias is not None:
            scales = _scales_for_bias(planned.bias, planned.input_range, scales)
            node.input[2] = self._bias(layer.bias, planned.bias, planned.input_range, scales)
        elif layer.bias is not None and planned.bias is not None:
            self._replace(layer.bias, _unshifted(planned.bias, planned) if shifted else planned.bias)
        node.input[1] = self._constant(layer.weight, values, scales, axis)

    def for_all(self, name: str, found: Range) -> None:
        """Round a tensor for all who read it."""
        rounded = self._activation(name, found)
        for node in self.nodes.values():
            node.input[:] = [rounded if read == name else read for read in node.input]

    def finish(self) -> onnx.ModelProto:
        graph = self.model.graph
        ordered = _in_order([*graph.node, *self.added], self._known())
        del graph.node[:], graph.value_info[:]
        graph.node.extend(ordered)
        used = {name for node in ordered for name in node.input}
        kept = [tensor for name, tensor in self.tensors.items() if name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        result = onnx.shape_inference.infer_shapes(self.model, check_type=True, strict_mode=True)
        onnx.checker.check_model(result, full_check=True)
        return result

    def _known(self) -> set[str]:
        return {value.name for value in self.model.graph.input} | set(self.tensors) | {""}

    def _activation(self, name: str, found: Range, *, shifted: bool = False) -> str:
        """The rounded values of a tensor, each plus scale · zero point where they are `shifted`; made once."""
        integer = np.int8 if found.symmetric else np.uint8
        scale, zero_point, quantised = f"{name}/scale", f"{name}/zero_point", f"{name}/quantised"
        if name not in self.rounded:
            self.rounded.add(name)
            self._store(scale, np.float32(found.scale))
            self._store(zero_point, integer(found.zero_point))
            self._add("QuantizeLinear", [name, scale, zero_point], quantised)
        output = f"{name}/rounded"
        if shifted and found.zero_point:
            output, zero_point = f"{name}/shifted", f"{name}/zero"
            self._store(zero_point, integer(0))
        if output not in self.rounded:
            self.rounded.add(output)
            self._add("DequantizeLinear", [quantised, scale, zero_point], output)
        return output

    def _constant(self, name: str, values: NDArray[np.signedinteger], scales: Float, axis: int) -> str:
        """An initializer as integers with a scale along `axis`."""
        self._replace(name, values)
        self._store(f"{name}/scale", scales)
        self._store(f"{name}/zero_point", np.zeros(len(scales), values.dtype))
        self._add("DequantizeLinear", [name, f"{name}/scale", f"{name}/zero_point"], f"{name}/rounded", axis=axis)
        return f"{name}/rounded"

    def _bias(self, name: str, bias: Float, found: Range, scales: Float) -> str:
        steps = np.float32(found.scale) * scales
        values = np.clip(np.rint(bias.astype(np.float64) / steps), -_INT32, _INT32).astype(np.int32)
        return self._constant(name, values, steps, 0)

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.added.append(helper.make_node(operator, inputs, [output], name=output, **attributes))

    def _store(self, name: str, value: NDArray[np.generic] | np.generic) -> None:
        self.tensors[name] = numpy_helper.from_array(np.asarray(value), name)

    def _replace(self, name: str, value: NDArray[np.generic]) -> None:
        tensor = TensorProto()
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
        self.tensors[name] = tensor


def _unshifted(bias: Float, planned: PlannedLayer) -> Float:
    """The bias, less what a matrix product makes of scale · zero point added to each of its inputs."""
    shift = float(np.float32(planned.input_range.scale)) * planned.input_range.zero_point
    columns = planned.weight.restored().sum(axis=1, dtype=np.float64).ravel()
    unshifted: Float = (bias - shift * columns).astype(np.float32)
    return unshifted


_INT32 = 2**31 - 1


def _scales_for_bias(bias: Float, found: Range, scales: Float) -> Float:
    """`scales`, larger where the bias would not fit into 32 bits of their steps: such weights are nothing beside it."""
    needed = np.abs(bias) / (np.float32(found.scale) * np.float32(2**30))
    return np.maximum(scales, needed.astype(np.float32))


def _in_order(nodes: list[NodeProto], known: set[str]) -> list[NodeProto]:
    """Each node as soon as what it reads is there, else in the order given."""
    makers = {name: node for node in nodes for name in node.output}
    ordered: list[NodeProto] = []
    done = set(known)

    def place(node: NodeProto) -> None:
        stack = [node]
        while stack:
            current = stack[-1]
            missing = [makers[name] for name in current.input if name not in done]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if current.output[0] not in done:
                ordered.append(current)
                done.update(current.output)

    for node in nodes:
        place(node)
    return ordered
