"""What the weights of an ONNX file say of the network, read without loading them."""

from __future__ import annotations

from collections.abc import Iterator

from .wire import BYTES, fields, read_varint

_FLOAT16, _INTEGERS = 10, (2, 3)  # TensorProto.DataType: FLOAT16; UINT8 and INT8


def has_half_weights(model: memoryview) -> bool:
    """Whether any weight of the serialised ModelProto `model` is stored in FP16."""
    return any(field.number == 2 and field.value == _FLOAT16 for tensor in _weights(model) for field in fields(tensor))


def has_int8_weights(model: memoryview) -> bool:
    """Whether any weight, which has two axes at least, of the serialised ModelProto `model` is of 8-bit integers."""
    return any(
        len(_shape(tensor)) > 1 and any(field.number == 2 and field.value in _INTEGERS for field in fields(tensor))
        for tensor in _weights(model)
    )


def patch_size(model: memoryview) -> int | None:
    """The side in pixels of the square patches that the network embeds; None where no weight tells.

    It is the kernel of the first convolution from three channels, a weight (D, 3, patch, patch).
    """
    for tensor in _weights(model):
        shape = _shape(tensor)
        if len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]:
            return shape[2]
    return None


def _weights(model: memoryview) -> Iterator[memoryview]:
    graphs = (field.data for field in fields(model) if field.number == 7)
    return (field.data for graph in graphs for field in fields(graph) if field.number == 5)


def _shape(tensor: memoryview) -> list[int]:
    shape: list[int] = []
    for field in fields(tensor):
        if field.number == 1 and field.wire_type == BYTES:  # packed, as proto3 writes them
            position = 0
            while position < len(field.data):
                size, position = read_varint(field.data, position)
                shape.append(size)
        elif field.number == 1:
            shape.append(field.value)
    return shape
