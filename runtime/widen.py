"""An FP16 model widened to FP32, exactly, for engines whose CPU arithmetic has no half precision.

Every half-precision number is a single-precision number too, so the widened graph computes the same function of the
same weights with more accurate intermediate values. ONNX Runtime would otherwise surround each operator with casts,
which on a CPU costs 2 to 4 times the latency.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .errors import ModelFileError
from .wire import bytes_field, fields, read_varint, varint_field

_FLOAT, _FLOAT16 = 1, 10  # TensorProto.DataType
_Edit = Callable[[memoryview], bytes]


def widen(model: memoryview) -> bytes:
    """The serialised ModelProto `model` with every FP16 tensor, type and cast made FP32."""
    return _edit(model, {7: _widen_graph})


def _edit(message: memoryview, edits: dict[int, _Edit]) -> bytes:
    """`message` with the nested messages under the field numbers of `edits` replaced, all else copied."""
    parts: list[bytes | memoryview] = []
    for field in fields(message):
        edit = edits.get(field.number)
        parts.append(bytes_field(field.number, edit(field.data)) if edit else message[field.start : field.end])
    return b"".join(parts)


def _widen_graph(graph: memoryview) -> bytes:
    return _edit(graph, {1: _widen_node, 5: _widen_tensor, 11: _widen_value, 12: _widen_value, 13: _widen_value})


def _widen_node(node: memoryview) -> bytes:
    is_cast = any(field.number == 4 and bytes(field.data) == b"Cast" for field in fields(node))
    return _edit(node, {5: _widen_cast_target if is_cast else _widen_attribute})


def _widen_attribute(attribute: memoryview) -> bytes:
    return _edit(attribute, {5: _widen_tensor, 6: _widen_graph})


def _widen_cast_target(attribute: memoryview) -> bytes:
    return _float_entry(attribute, 3)  # AttributeProto.i


def _widen_tensor(tensor: memoryview) -> bytes:
    parts = list(fields(tensor))
    if not any(field.number == 2 and field.value == _FLOAT16 for field in parts):
        return bytes(tensor)
    if any(field.number == 14 and field.value == 1 for field in parts):  # data_location EXTERNAL
        raise ModelFileError("its weights lie in another file: export it again into one file, or choose --compute fp16")
    widened: list[bytes] = []
    for field in parts:
        if field.number == 2:
            widened.append(varint_field(2, _FLOAT))
        elif field.number == 9:  # raw_data, little-endian as ONNX prescribes
            widened.append(bytes_field(9, np.frombuffer(field.data, "<f2").astype("<f4").tobytes()))
        elif field.number == 5:  # int32_data: one half's bit pattern in each varint
            halves = np.array(_packed_varints(field.data), np.uint16).view(np.float16)
            widened.append(bytes_field(9, halves.astype("<f4").tobytes()))
        else:
            widened.append(bytes(tensor[field.start : field.end]))
    return b"".join(widened)


def _packed_varints(data: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = read_varint(data, position)
        values.append(value)
    return values


def _widen_value(value: memoryview) -> bytes:
    return _edit(value, {2: lambda type_: _edit(type_, {1: _widen_tensor_type})})


def _widen_tensor_type(tensor_type: memoryview) -> bytes:
    return _float_entry(tensor_type, 1)  # TypeProto.Tensor.elem_type


def _float_entry(message: memoryview, number: int) -> bytes:
    """`message` with its data type under field `number` made FLOAT where it was FLOAT16."""
    parts = [
        varint_field(number, _FLOAT)
        if field.number == number and field.value == _FLOAT16
        else bytes(message[field.start : field.end])
        for field in fields(message)
    ]
    return b"".join(parts)
