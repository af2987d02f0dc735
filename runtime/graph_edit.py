"""The graph of an ONNX file as nodes that can be replaced, without the `onnx` package.

Numbers of fields and types are those of `onnx.proto3`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .wire import BYTES, Field, bytes_field, fields, read_varint, varint, varint_field

_GRAPH, _OPSET_IMPORT, _PRODUCER_NAME = 7, 8, 2  # ModelProto
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13  # GraphProto
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA = 1, 2, 8, 9  # TensorProto
_ATTRIBUTE_KINDS: dict[type, int] = {float: 1, int: 2}  # AttributeProto.AttributeType
FLOAT, HALF = 1, 10  # TensorProto.DataType
_TYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    HALF: np.dtype("<f2"),
}
_TYPE_NUMBERS = {kind: number for number, kind in _TYPES.items()}
_LARGE = 1024  # bytes of an encoded initializer
_ELSEWHERE = bytes_field(13, bytes_field(1, b"location") + bytes_field(2, b"memory")) + varint_field(14, 1)
"""The data of a TensorProto lie elsewhere: external_data, data_location EXTERNAL."""

Array = NDArray[Any]


@dataclass(eq=False)
class Node:
    """One operator."""

    operator: str
    inputs: Sequence[str]
    """Names of tensors; an empty one is an optional input left out."""
    outputs: Sequence[str]
    domain: str = ""
    encoded: bytes | memoryview = b""
    """With its tag, as it stands in the file or shall stand there."""
    _attributes: Sequence[memoryview] = field(default=(), repr=False)

    @cached_property
    def attributes(self) -> dict[str, int | tuple[int, ...]]:
        """Those that are one whole number or a list of them."""
        found: dict[str, int | tuple[int, ...]] = {}
        for message in self._attributes:
            name, one, many = "", None, []
            for part in fields(message):
                if part.number == 1:
                    name = str(part.data, "utf-8")
                elif part.number == 3:
                    one = _signed(part.value)
                elif part.number == 8:
                    many += [_signed(value) for value in _whole_numbers(part)]
            if many:
                found[name] = tuple(many)
            elif one is not None:
                found[name] = one
        return found


class _Tensor(NamedTuple):
    name: str
    value: Array | None
    encoded: bytes | memoryview
    """With its tag."""


def new_node(
    operator: str, inputs: Sequence[str], output: str, domain: str, attributes: Mapping[str, int | float]
) -> Node:
    """A node that is in no file yet, with non-negative attributes; it is named after its output."""
    parts = [bytes_field(1, name.encode()) for name in inputs]
    parts += [bytes_field(2, output.encode()), bytes_field(3, output.encode()), bytes_field(4, operator.encode())]
    for name, value in attributes.items():
        number = varint_field(3, value) if isinstance(value, int) else b"\x15" + np.float32(value).tobytes()
        kind = varint_field(20, _ATTRIBUTE_KINDS[type(value)])
        parts.append(bytes_field(5, bytes_field(1, name.encode()) + number + kind))
    parts.append(bytes_field(7, domain.encode()))
    return Node(operator, inputs, [output], domain, bytes_field(_NODE, b"".join(parts)))


def rewired(node: Node, inputs: Sequence[str], output: str) -> Node:
    """`node` with other inputs and another output, after which it is named; its attributes stay."""
    parts = [bytes_field(1, name.encode()) for name in inputs]
    parts += [bytes_field(2, output.encode()), bytes_field(3, output.encode()), bytes_field(4, node.operator.encode())]
    parts += [bytes_field(5, bytes(attribute)) for attribute in node._attributes]
    parts.append(bytes_field(7, node.domain.encode()))
    return Node(node.operator, inputs, [output], node.domain, bytes_field(_NODE, b"".join(parts)), node._attributes)


def producer(model: memoryview) -> str:
    """What wrote the serialised `model`, as it names itself; nothing else is read."""
    return _text(model, _PRODUCER_NAME)


def graph_input(model: memoryview) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the first input of the serialised `model`; -1 is a size that is not fixed.

    Raises:
        ValueError: `model` is no well-formed message, or has none.
    """
    for part in fields(model):
        for value in fields(part.data) if part.number == _GRAPH else ():
            if value.number == _INPUT:
                (kind,) = (entry.data for entry in fields(value.data) if entry.number == 2)
                (tensor,) = (entry.data for entry in fields(kind) if entry.number == 1)
                sizes = [size for shape in fields(tensor) if shape.number == 2 for size in fields(shape.data)]
                return _text(value.data, 1), tuple(
                    next((entry.value for entry in fields(size.data) if entry.number == 1), -1) for size in sizes
                )
    raise ValueError("the graph has no input")


class Graph:
    """The graph of a serialised model.

    Args:
        model: a ModelProto; it is read, never written, and must outlive the graph.

    Attributes:
        nodes: in the order in which they are computed.
        outputs: names of the graph's outputs.

    Raises:
        ValueError: `model` is no well-formed message, or holds a name that is no text.
    """

    def __init__(self, model: memoryview) -> None:
        self._rest: list[memoryview] = []  # of the model
        self._rest_of_graph: list[memoryview] = []
        self._tensors: dict[str, _Tensor] = {}
        self._domains: set[str] = set()
        self.nodes: list[Node] = []
        self.outputs: set[str] = set()
        for part in fields(model):
            if part.number == _GRAPH:
                self._read(part.data)
                continue
            if part.number == _OPSET_IMPORT:
                self._domains.add(_text(part.data, 1))
            self._rest.append(model[part.start : part.end])
        self.makers = {name: node for node in self.nodes for name in node.outputs}
        self._readers: defaultdict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in node.inputs:
                self._readers[name].append(node)

    def _read(self, graph: memoryview) -> None:
        for part in fields(graph):
            whole = graph[part.start : part.end]
            if part.number == _NODE:
                self.nodes.append(_node(part.data, whole))
            elif part.number == _INITIALIZER:
                tensor = _tensor(part.data, whole)
                self._tensors[tensor.name] = tensor
            elif part.number != _VALUE_INFO:  # inner types: engines infer them, and those of what goes would stay
                self._rest_of_graph.append(whole)
                if part.number == _OUTPUT:
                    self.outputs.add(_text(part.data, 1))

    def maker(self, name: str, operator: str) -> Node | None:
        """The node that computes `name`, where it is an `operator` of the ONNX standard."""
        node = self.makers.get(name)
        return node if node and node.operator == operator and node.domain in ("", "ai.onnx") else None

    def only_reader(self, node: Node, operator: str) -> Node | None:
        """The one node that reads what `node` computes, where it is an `operator` of the ONNX standard.

        None too where the graph returns what `node` computes.
        """
        (name,) = node.outputs
        readers = self._readers[name]
        if len(readers) != 1 or name in self.outputs:
            return None
        return readers[0] if readers[0].operator == operator and readers[0].domain in ("", "ai.onnx") else None

    def constant(self, name: str) -> Array | None:
        """A view of the initializer `name`; None where there is none, or in a type or way that is not read here."""
        return self._tensors[name].value if name in self._tensors else None

    def add_constant(self, name: str, value: Array) -> str:
        """Add an initializer, for which `name` must be new.

        Returns:
            `name`.
        """
        self._tensors[name] = _Tensor(name, value, initializer(name, value))
        return name

    def replace(self, last: Node, new: Node) -> None:
        """Put `new` where `last` is, whose output it computes.

        What nobody reads any more goes when the graph is written.
        """
        self.nodes[self.nodes.index(last)] = new

    def write(self) -> tuple[bytes, dict[str, Array]]:
        """The serialised model, without nodes and initializers that nothing returned depends on, and its weights.

        Returns:
            The model, and beside it the large initializers, which it names alone (as external data), each copied
            once: in memory of its own, whatever becomes of the file.
        """
        needed = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                kept.append(node)
                needed.update(node.inputs)
        parts = [node.encoded for node in reversed(kept)]
        weights: dict[str, Array] = {}
        for name, tensor in self._tensors.items():
            if name not in needed:
                continue
            if tensor.value is None or len(tensor.encoded) < _LARGE:
                parts.append(tensor.encoded)
                continue
            weights[name] = tensor.value.copy()
            parts.append(bytes_field(_INITIALIZER, _header(name, tensor.value) + _ELSEWHERE))
        parts += self._rest_of_graph
        domains = sorted({node.domain for node in kept} - self._domains - {""})
        imports = [bytes_field(_OPSET_IMPORT, bytes_field(1, name.encode()) + varint_field(2, 1)) for name in domains]
        tag = varint(_GRAPH << 3 | BYTES) + varint(sum(map(len, parts)))
        return b"".join([*self._rest, *imports, tag, *parts]), weights


def initializer(name: str, value: Array) -> bytes:
    """An initializer of a graph, with its tag."""
    raw = bytes_field(_RAW_DATA, np.ascontiguousarray(value).tobytes())
    return bytes_field(_INITIALIZER, _header(name, value) + raw)


def _header(name: str, value: Array) -> bytes:
    """A TensorProto of `value` but for its data."""
    shape = b"".join(varint_field(_DIMS, size) for size in value.shape)
    return shape + varint_field(_DATA_TYPE, _TYPE_NUMBERS[value.dtype]) + bytes_field(_TENSOR_NAME, name.encode())


def _node(message: memoryview, whole: memoryview) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: list[memoryview] = []
    operator = domain = ""
    for part in fields(message):
        if part.number == 1:
            inputs.append(str(part.data, "utf-8"))
        elif part.number == 2:
            outputs.append(str(part.data, "utf-8"))
        elif part.number == 4:
            operator = str(part.data, "utf-8")
        elif part.number == 5:
            attributes.append(part.data)
        elif part.number == 7:
            domain = str(part.data, "utf-8")
    return Node(operator, inputs, outputs, domain, whole, attributes)


def _tensor(message: memoryview, whole: memoryview) -> _Tensor:
    shape: list[int] = []
    name, kind, raw = "", None, None
    for part in fields(message):
        if part.number == _DIMS:
            shape += _whole_numbers(part)
        elif part.number == _DATA_TYPE:
            kind = _TYPES.get(part.value)
        elif part.number == _TENSOR_NAME:
            name = str(part.data, "utf-8")
        elif part.number == _RAW_DATA:
            raw = part.data
    if kind is None or not raw or len(raw) != math.prod(shape) * kind.itemsize:
        return _Tensor(name, None, whole)
    return _Tensor(name, np.frombuffer(raw, kind).reshape(shape), whole)


def _text(message: memoryview, number: int) -> str:
    """The string under field `number`; empty where there is none."""
    return next((str(part.data, "utf-8") for part in fields(message) if part.number == number), "")


def _whole_numbers(part: Field) -> list[int]:
    """A repeated whole number: one of a field, or packed many."""
    if part.wire_type != BYTES:
        return [part.value]
    values, position = [], 0
    while position < len(part.data):
        value, position = read_varint(part.data, position)
        values.append(value)
    return values


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
