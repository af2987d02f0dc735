"""Pixels normalised on the device: an ONNX graph that looks the network's input up in the table of its 256 values.

A batch of 8-bit pixels is a quarter of the bytes that cross the bus. The table holds what
`radiodino.runtime.preprocessing.Preprocessor` computes, so that the bits are the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graph_edit import FLOAT, Array, initializer, new_node
from ..wire import bytes_field, varint_field

PIXELS, VALUES = "pixels", "values"
_UINT8, _INT32 = 2, 6  # TensorProto.DataType
_IR_VERSION, _OPSET = 8, 17


def lookup_graph(levels: NDArray[np.float32], height: int, width: int) -> bytes:
    """A serialised model: ``pixels`` uint8 (B, 3, height, width) → ``values`` float32 of the same shape.

    Args:
        levels: float32 (3, 256), what each pixel becomes in each channel.
        height: of the images.
        width: of the images.
    """
    offsets: Array = np.arange(0, levels.size, levels.shape[1], dtype=np.int32).reshape(1, -1, 1, 1)
    nodes = [
        new_node("Cast", [PIXELS], "whole", "", {"to": _INT32}),
        new_node("Add", ["whole", "offsets"], "places", "", {}),
        new_node("Gather", ["levels", "places"], VALUES, "", {}),
    ]
    sizes = [bytes_field(2, b"batch"), *(varint_field(1, size) for size in (len(levels), height, width))]
    graph = b"".join(
        [
            *(bytes(node.encoded) for node in nodes),
            bytes_field(2, b"lookup"),
            initializer("levels", np.ascontiguousarray(levels.ravel())),
            initializer("offsets", offsets),
            bytes_field(11, _port(PIXELS, _UINT8, sizes)),
            bytes_field(12, _port(VALUES, FLOAT, sizes)),
        ]
    )
    return varint_field(1, _IR_VERSION) + bytes_field(7, graph) + bytes_field(8, varint_field(2, _OPSET))


def _port(name: str, kind: int, sizes: list[bytes]) -> bytes:
    """A ValueInfoProto."""
    shape = b"".join(bytes_field(1, size) for size in sizes)
    return bytes_field(1, name.encode()) + bytes_field(2, bytes_field(1, varint_field(1, kind) + bytes_field(2, shape)))
