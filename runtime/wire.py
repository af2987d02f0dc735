"""Just enough of the protocol-buffer wire format to read and edit an ONNX file without the `onnx` package.

Reference: https://protobuf.dev/programming-guides/encoding/ ; field numbers of ONNX are in `onnx.proto3`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZE = {FIXED64: 8, FIXED32: 4}


class WireError(ValueError):
    """The bytes are no well-formed protocol-buffer message."""


class Field(NamedTuple):
    """One field of a message; `data` is its payload (for a varint: the encoded varint), `start` its first tag byte."""

    number: int
    wire_type: int
    value: int
    """The varint's value; 0 for other wire types."""
    data: memoryview
    start: int
    end: int


def read_varint(buffer: memoryview, position: int) -> tuple[int, int]:
    """The varint at `position` and the position after it.

    Raises:
        WireError: where it is truncated or longer than 64 bits.
    """
    value = shift = 0
    while True:
        if position >= len(buffer) or shift > 63:
            raise WireError(f"bad varint at byte {position}")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def fields(buffer: memoryview) -> Iterator[Field]:
    """The fields of the message in `buffer`, in order; nested messages stay unread in `Field.data`.

    Raises:
        WireError: at the first byte that does not fit.
    """
    position = 0
    while position < len(buffer):
        start = position
        tag, position = read_varint(buffer, position)
        number, wire_type = tag >> 3, tag & 7
        value, begin = 0, position
        if wire_type == VARINT:
            value, position = read_varint(buffer, position)
        elif wire_type == BYTES:
            length, begin = read_varint(buffer, position)
            position = begin + length
        elif wire_type in _FIXED_SIZE:
            position += _FIXED_SIZE[wire_type]
        else:
            raise WireError(f"unknown wire type {wire_type} at byte {start}")
        if number == 0 or position > len(buffer):
            raise WireError(f"field {number} at byte {start} runs past the end")
        yield Field(number, wire_type, value, buffer[begin:position], start, position)


def varint(value: int) -> bytes:
    """`value` (≥ 0) as a varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def bytes_field(number: int, data: bytes | memoryview) -> bytes:
    """A length-delimited field: bytes, a string, or a nested message."""
    return varint(number << 3 | BYTES) + varint(len(data)) + bytes(data)


def varint_field(number: int, value: int) -> bytes:
    """An integer field."""
    return varint(number << 3 | VARINT) + varint(value)
