"""Every layer as a product of matrices, whatever operator computes it: (G, R, K) · (G, K, N) for G groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layers import LinearLayer

Float = NDArray[np.float32]


def to_matrix(weight: NDArray[Any], layer: LinearLayer) -> NDArray[Any]:
    """The weight of `layer` as (G, K, N): K is what one output sums over, channel by channel and row by row."""
    if layer.kind == "MatMul":
        return weight[None]
    outputs = weight.shape[0] // layer.groups
    return weight.reshape(layer.groups, outputs, -1).transpose(0, 2, 1)


def from_matrix(matrix: NDArray[Any], layer: LinearLayer, shape: tuple[int, ...]) -> NDArray[Any]:
    """`to_matrix` undone, for a weight of `shape`."""
    if layer.kind == "MatMul":
        return np.ascontiguousarray(matrix[0])
    return np.ascontiguousarray(matrix.transpose(0, 2, 1)).reshape(shape)


def sum_orders(layer: LinearLayer, shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """The orders in which an engine may sum over K, each a permutation of it.

    Which weights of a convolution stand side by side in a register depends on whether its channels are outermost
    (NCHW) or innermost (NHWC).

    Args:
        layer: any.
        shape: of its weight.
    """
    if layer.kind == "MatMul":
        return [np.arange(shape[0])]
    _, channels, *kernel = shape
    outermost = np.arange(channels * int(np.prod(kernel)))
    innermost = outermost.reshape(channels, -1).T.ravel()
    return [outermost] if np.array_equal(outermost, innermost) else [outermost, innermost]
