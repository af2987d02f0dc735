"""The precision pass: an FP32 graph as an FP16 one, with FP32 kept where half precision would fail.

Weights and activations become FP16; LayerNormalization, Softmax and every operator that leaves the half range stay
FP32. A cast is put only where two precisions meet, always from an original tensor and at most once for each, so that
no cast ever reads another cast. Inputs and outputs of the model stay float32.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

KEPT_FLOAT = frozenset({"LayerNormalization", "Sigmoid", "Softmax"})
"""They sum exponentials or squares, which overflow half precision long before their inputs do; of probabilities near 1
it has 0.0005 and nothing between."""

_MOVES_DATA = frozenset(
    {"Concat", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""They copy values, so they take the precision their data come in."""

_ALWAYS_FLOAT: dict[str, frozenset[int]] = {"Resize": frozenset({1, 2})}
"""Inputs that ONNX wants in fp32 (or has no fp16 use for) whatever the data are in: region and scales."""

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_SUFFIX: dict[int, str] = {_FLOAT: "fp32", _HALF: "fp16"}


def to_half(model: onnx.ModelProto, keep: set[str]) -> onnx.ModelProto:
    """`model` in FP16.

    Args:
        model: fp32 ONNX model with inferred types, as `radiodino.export.cleanup.clean_up` gives it.
        keep: names of further nodes that stay FP32 (`radiodino.export.ranges.nodes_beyond_half`).

    Returns:
        A model with the same inputs, outputs and function up to half-precision rounding.
    """
    return _HalfPass(model, keep).run()


def nodes_between(model: onnx.ModelProto, start: str, end: str) -> set[str]:
    """The names of the nodes on the way from the tensor `start` to the tensor `end`, that which makes `end` included.

    A linear head's work is nothing beside the backbone's, and its logits decide: rounded to half precision, one of 20
    is off by up to 0.008, and a probability by up to 0.004.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    waiting = [end]
    while waiting:
        name = waiting.pop()
        if name != start and name in makers and makers[name].name not in found:
            found.add(makers[name].name)
            waiting.extend(makers[name].input)
    return found


class _HalfPass:
    def __init__(self, model: onnx.ModelProto, keep: set[str]) -> None:
        self.source = model
        self.keep = keep
        self.weights = {t.name: t for t in model.graph.initializer if t.data_type == _FLOAT}
        typed = [*model.graph.input, *model.graph.value_info, *model.graph.output]
        self.floats = {v.name for v in typed if v.type.tensor_type.elem_type == _FLOAT} | set(self.weights)
        self.outputs = {value.name for value in model.graph.output}
        inputs = [value.name for value in model.graph.input if value.name in self.floats]
        self.precision: dict[str, int] = dict.fromkeys(inputs, _FLOAT)
        self.nodes: list[NodeProto] = []
        # (tensor, precision) → the name of its values in it
        self.converted: dict[tuple[str, int], str] = {(name, _FLOAT): name for name in inputs}
        self.initializers = [t for t in model.graph.initializer if t.name not in self.weights]

    def run(self) -> onnx.ModelProto:
        for node in self.source.graph.node:
            self._convert(node)
        result = onnx.ModelProto()
        result.CopyFrom(self.source)
        graph = result.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(self.initializers)
        result = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
        onnx.checker.check_model(result, full_check=True)
        return result

    def _convert(self, node: NodeProto) -> None:
        target = self._precision_of(node)
        new = NodeProto()
        new.CopyFrom(node)
        fixed = _ALWAYS_FLOAT.get(node.op_type, frozenset())
        new.input[:] = [
            self._as(name, _FLOAT if index in fixed else target) if name in self.floats else name
            for index, name in enumerate(node.input)
        ]
        returned = []
        for index, name in enumerate(node.output):
            if name not in self.floats:
                continue
            self.precision[name] = target
            if name in self.outputs and target == _HALF:  # float32 to the outside
                new.output[index] = f"{name}/fp16"
                returned.append(helper.make_node("Cast", [new.output[index]], [name], f"{name}/cast", to=_FLOAT))
                self.converted[name, _FLOAT] = name
            self.converted[name, target] = new.output[index]
        self.nodes.extend([new, *returned])

    def _precision_of(self, node: NodeProto) -> int:
        if node.op_type in KEPT_FLOAT or node.name in self.keep:
            return _FLOAT
        if node.op_type in _MOVES_DATA:
            arriving = {self.precision[name] for name in node.input if name in self.precision}
            return _FLOAT if arriving == {_FLOAT} else _HALF
        return _HALF

    def _as(self, name: str, target: int) -> str:
        """The name of `name`'s values in precision `target`, rounded or cast the first time it is asked for."""
        if (name, target) not in self.converted:
            self.converted[name, target] = (
                self._stored(name, target) if name in self.weights else self._cast(name, target)
            )
        return self.converted[name, target]

    def _stored(self, name: str, target: int) -> str:
        values = numpy_helper.to_array(self.weights[name])
        other = _FLOAT if target == _HALF else _HALF
        # Equal tensors are stored once by the exporter; one that both precisions read exists in both.
        stored = name if (name, other) not in self.converted else f"{name}/{_SUFFIX[target]}"
        self.initializers.append(
            numpy_helper.from_array(values.astype(np.float16) if target == _HALF else values, stored)
        )
        return stored

    def _cast(self, name: str, target: int) -> str:
        cast = f"{name}/{_SUFFIX[target]}"
        source = self.converted[name, self.precision[name]]
        self.nodes.append(helper.make_node("Cast", [source], [cast], f"{cast}/cast", to=target))
        return cast
