"""An ONNX graph as the rules read it: who makes and who reads each tensor, of which type and shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from radiodino.runtime.errors import ModelFileError

_STANDARD = ("", "ai.onnx")


class LintGraph:
    """The graph of a model.

    Args:
        model: any ONNX model; types and shapes are inferred as far as they can be.
        path: of it, for an error.

    Attributes:
        model: with inferred types.
        nodes: in the order in which they are computed.
        makers: the node that computes a tensor, by the tensor's name.
        tensors: the initializers and the values of Constant nodes, by name.
        outputs: names of the graph's outputs.
        types: data type (`onnx.TensorProto.DataType`) by the tensor's name, where it is known.
        shapes: likewise the shape; None is a size that is not fixed.
        opset: version of the ONNX standard.

    Raises:
        ModelFileError: the model contradicts itself.
    """

    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        try:
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except (onnx.shape_inference.InferenceError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), "")
            raise ModelFileError(f"{path} is no ONNX model that can be checked: {reason}") from error
        self.model = model
        graph = model.graph
        self.nodes: list[NodeProto] = list(graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output if name}
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.tensors[node.output[0]] = node.attribute[0].t
        self.outputs = {value.name for value in graph.output}
        self.opset = max((entry.version for entry in model.opset_import if entry.domain in _STANDARD), default=0)
        self.types = {name: tensor.data_type for name, tensor in self.tensors.items()}
        self.shapes: dict[str, tuple[int | None, ...]] = {
            name: tuple(tensor.dims) for name, tensor in self.tensors.items()
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            self.types[value.name] = kind.elem_type
            if kind.HasField("shape"):
                self.shapes[value.name] = tuple(
                    size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim
                )
        self._readers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)

    def of(self, *operators: str) -> list[NodeProto]:
        """The nodes that are one of `operators`, in whatever domain."""
        return [node for node in self.nodes if node.op_type in operators]

    def maker(self, name: str, *operators: str) -> NodeProto | None:
        """The node that computes `name`, where it is one of `operators`."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type in operators else None

    def readers(self, name: str) -> list[NodeProto]:
        """The nodes that read the tensor `name`."""
        return self._readers[name]

    def above(self, name: str, passed: Iterable[str]) -> str:
        """The tensor from which `name` is made by none but the operators `passed`, each by its first computed input."""
        operators = tuple(passed)
        while node := self.maker(name, *operators):
            name = next((read for read in node.input if read not in self.tensors), node.input[0])
        return name

    def constant(self, name: str) -> NDArray[Any] | None:
        """The values of the initializer `name`; None where there is none, or its data lie in another file."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        return np.asarray(numpy_helper.to_array(tensor))

    def attribute(self, node: NodeProto, name: str, default: Any) -> Any:
        """The value of an attribute of `node`."""
        found = next((entry for entry in node.attribute if entry.name == name), None)
        return default if found is None else onnx.helper.get_attribute_value(found)


def name_of(node: NodeProto) -> str:
    """What a node is called in a finding."""
    return node.name or next((name for name in node.output if name), node.op_type)
