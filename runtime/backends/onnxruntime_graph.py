"""What is changed in a graph before ONNX Runtime opens it: operators of its own in the place of several.

A file holds operators of the ONNX standard alone, which every engine reads. ONNX Runtime recognises an attention only
in the forms that some exporters write, and gives a product in integers no bias; so it is told, in the operators of
its domain ``com.microsoft`` (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md):

- ``Attention``: a float layer that gives queries, keys and values, and the attention of all heads;
- ``QAttention``: the same of an int8 layer;
- ``MatMulIntegerToFloat``: an int8 layer with its bias.

A fifth less time for an int8 file, a fourteenth for others, and either opens sooner. What does not match to the letter
stays as it is.

For CUDA an attention is replaced in fp16 too, where that operator is flash attention and its softmax fp32 inside; and
a LayerNormalization in fp32 between two casts by one in fp16, whose kernel sums in fp32 as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeGuard

import numpy as np

from ..graph_edit import FLOAT, HALF, Array, Graph, Node, new_node, producer, rewired
from ..widen import widen

_PRODUCER = "radiodino"
_DOMAIN = "com.microsoft"
_FLOAT32, _UINT8, _INT8 = np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.int8)
_FLOAT16 = np.dtype(np.float16)


def fused(model: memoryview, *, cuda: bool = False) -> tuple[bytes, dict[str, Array]] | None:
    """The model with fused operators: the same function.

    Args:
        model: a serialised ModelProto.
        cuda: whether it is for CUDA, which computes them in fp16 too, and not in 8 bits.

    Returns:
        The serialised model and its large weights, see `Graph.write`; None where there is nothing to fuse, or the file
        is another tool's.

    Raises:
        ValueError: `model` is no well-formed message.
    """
    if producer(model) != _PRODUCER:
        return None
    graph = Graph(model)
    changed = [_fuse_attention(graph, node, cuda=cuda) for node in graph.nodes if node.operator == "Softmax"]
    if cuda:
        changed += [_halve_norm(graph, node) for node in graph.nodes if node.operator == "LayerNormalization"]
    else:
        changed += [_fuse_bias(graph, node) for node in graph.nodes if node.operator == "MatMul"]
    return graph.write() if any(changed) else None


def fusable(model: memoryview, *, cuda: bool = False) -> frozenset[str]:
    """The outputs of the softmaxes whose attention `fused` replaces, on a CPU after an fp16 file was widened.

    Args:
        model: as of `fused`.
        cuda: as of `fused`.
    """
    if producer(model) != _PRODUCER:
        return frozenset()
    graph = Graph(model if cuda else memoryview(widen(model)))
    softmaxes = [node for node in graph.nodes if node.operator == "Softmax"]
    return frozenset(node.outputs[0] for node in softmaxes if _fuse_attention(graph, node, cuda=cuda))


class _Attention(NamedTuple):
    projected: str
    """The tensor of queries, keys and values."""
    answer: Node
    """The node that gives the attention's answer, (B, N, heads · size)."""
    heads: int
    size: int
    """Of one head."""
    scale: float
    """What the queries are multiplied by."""


class _Int8(NamedTuple):
    """A product of a rounded tensor and a constant matrix in 8 bits: names of tensors."""

    values: str
    scale: str
    zero_point: str
    weight: str
    weight_scale: str
    weight_zero_point: str


def _fuse_attention(graph: Graph, softmax: Node, *, cuda: bool) -> bool:
    found = _attention(graph, softmax, casts=(FLOAT, HALF) if cuda else (FLOAT,))
    layer = graph.maker(found.projected, "Add") if found else None
    product = graph.maker(layer.inputs[0], "MatMul") if layer else None
    if not found or not layer or not product:
        return False
    bias, width = graph.constant(layer.inputs[1]), 3 * found.heads * found.size
    if bias is None or bias.dtype not in ((_FLOAT32, _FLOAT16) if cuda else (_FLOAT32,)) or bias.shape != (width,):
        return False
    (output,) = found.answer.outputs
    weight = graph.constant(product.inputs[1])
    if weight is not None and weight.dtype == bias.dtype and weight.ndim == 2 and weight.shape[1] == width:
        inputs = [*product.inputs, layer.inputs[1]]
        attributes: dict[str, int | float] = {"num_heads": found.heads, "scale": found.scale}
        graph.replace(found.answer, new_node("Attention", inputs, output, _DOMAIN, attributes))
        return True
    rounded = None if cuda else _int8(graph, product, width)
    if not rounded:
        return False
    # QAttention divides by √size itself. Multiplied by a power of two the query's weights and bias lose nothing.
    factor = found.scale * math.sqrt(found.size)
    if math.frexp(factor)[0] != 0.5:
        return False
    weight_scale = graph.constant(rounded.weight_scale)
    if weight_scale is None:
        return False
    inputs = [
        rounded.values,
        rounded.weight,
        graph.add_constant(f"{output}/bias", _query_times(factor, bias)),
        rounded.scale,
        graph.add_constant(f"{output}/weight_scale", _query_times(factor, weight_scale)),
        "",
        rounded.zero_point,
        rounded.weight_zero_point,
    ]
    graph.replace(found.answer, new_node("QAttention", inputs, output, _DOMAIN, {"num_heads": found.heads}))
    return True


def _query_times(factor: float, values: Array) -> Array:
    """`values` of queries, keys and values, those of the queries times `factor`."""
    scaled = values.copy()
    scaled[: len(values) // 3] *= np.float32(factor)
    return scaled


def _attention(graph: Graph, softmax: Node, casts: tuple[int, ...]) -> _Attention | None:
    """The attention around `softmax`, as timm's module becomes when it is traced.

    Args:
        graph: that it is in.
        softmax: see above.
        casts: to which the softmax's values may be cast before they weigh the others.
    """
    if softmax.attributes.get("axis") != -1:
        return None
    before, after = graph.maker(softmax.inputs[0], "Cast"), graph.only_reader(softmax, "Cast")
    scores = graph.maker(before.inputs[0] if _is_to(before, FLOAT) else softmax.inputs[0], "MatMul")
    weights = after if _is_to(after, *casts) else softmax
    weighted = graph.only_reader(weights, "MatMul")
    if not scores or not weighted or weighted.inputs[0] != weights.outputs[0]:
        return None
    query, scale = scores.inputs[0], 1.0
    if scaled := graph.maker(query, "Mul"):
        constant = graph.constant(scaled.inputs[1])
        if constant is None or constant.size != 1:
            return None
        query, scale = scaled.inputs[0], float(constant.item())
    keys = _transposed(graph, scores.inputs[1], (0, 1, 3, 2))
    if not keys:
        return None
    stacks = {_part(graph, name, index) for index, name in enumerate((query, keys, weighted.inputs[1]))}
    stack = stacks.pop()
    heads_first = _transposed(graph, stack, (2, 0, 3, 1, 4)) if stack and not stacks else None
    split = graph.maker(heads_first, "Reshape") if heads_first else None
    shape = graph.constant(split.inputs[1]) if split else None
    back = graph.only_reader(weighted, "Transpose")
    answer = graph.only_reader(back, "Reshape") if back and back.attributes.get("perm") == (0, 2, 1, 3) else None
    joined = graph.constant(answer.inputs[1]) if answer else None
    if not split or not answer or shape is None or joined is None or shape.shape != (5,) or joined.shape != (3,):
        return None
    _, tokens, three, heads, size = (int(number) for number in shape)
    if three != 3 or heads < 1 or size < 1 or scale <= 0 or tuple(joined[1:]) != (tokens, heads * size):
        return None
    return _Attention(split.inputs[0], answer, heads, size, scale)


def _is_to(cast: Node | None, *types: int) -> TypeGuard[Node]:
    """Whether `cast` is one, to one of `types`; in a file widened from fp16 all are to fp32, and change nothing."""
    return cast is not None and cast.attributes.get("to") in types


def _transposed(graph: Graph, name: str, order: tuple[int, ...]) -> str | None:
    """What is transposed by `order` to `name`."""
    node = graph.maker(name, "Transpose")
    return node.inputs[0] if node and node.attributes.get("perm") == order else None


def _part(graph: Graph, name: str, index: int) -> str | None:
    """What `name` is part `index` of, along the first axis."""
    squeezed = graph.maker(name, "Squeeze")
    sliced = graph.maker(squeezed.inputs[0], "Slice") if squeezed else None
    if not squeezed or not sliced or len(squeezed.inputs) != 2 or len(sliced.inputs) != 4:
        return None
    constants = [graph.constant(read) for read in (*sliced.inputs[1:], squeezed.inputs[1])]
    found = [None if values is None else values.tolist() for values in constants]
    return sliced.inputs[0] if found == [[index], [index + 1], [0], [0]] else None


def _halve_norm(graph: Graph, norm: Node) -> bool:
    """A norm in fp32 between casts from and to fp16, in fp16: its scale and bias must lose nothing by it."""
    before, after = graph.maker(norm.inputs[0], "Cast"), graph.only_reader(norm, "Cast")
    constants = [graph.constant(name) for name in norm.inputs[1:]]
    if not _is_to(before, FLOAT) or not _is_to(after, HALF) or not constants:
        return False
    halves = [None if values is None else values.astype(_FLOAT16) for values in constants]
    inputs = [before.inputs[0]]
    for index, (values, half) in enumerate(zip(constants, halves, strict=True)):
        if values is None or half is None or not np.array_equal(half, values):
            return False
        inputs.append(graph.add_constant(f"{norm.outputs[0]}/half_{index}", half))
    graph.replace(after, rewired(norm, inputs, after.outputs[0]))
    return True


def _fuse_bias(graph: Graph, product: Node) -> bool:
    layer = graph.only_reader(product, "Add")
    if not layer or layer.inputs[0] != product.outputs[0]:
        return False
    bias = graph.constant(layer.inputs[1])
    if bias is None or bias.dtype != np.float32 or bias.ndim != 1:
        return False
    found = _int8(graph, product, len(bias))
    if not found:
        return False
    inputs = [found.values, found.weight, found.scale, found.weight_scale, found.zero_point, found.weight_zero_point]
    graph.replace(layer, new_node("MatMulIntegerToFloat", [*inputs, layer.inputs[1]], layer.outputs[0], _DOMAIN, {}))
    return True


def _int8(graph: Graph, product: Node, width: int) -> _Int8 | None:
    """What `product` multiplies, where that is a tensor with one scale and a constant with one for each column."""
    rounded, weights = (graph.maker(name, "DequantizeLinear") for name in product.inputs)
    if not rounded or not weights or len(rounded.inputs) != 3 or len(weights.inputs) != 3:
        return None
    constants = [graph.constant(name) for name in (*rounded.inputs[1:], *weights.inputs)]
    found = [None if values is None else (values.dtype, values.shape[-1:]) for values in constants]
    scales = [(_FLOAT32, ()), (_UINT8, ()), (_INT8, (width,)), (_FLOAT32, (width,)), (_INT8, (width,))]
    matrix = constants[2]
    if found != scales or matrix is None or matrix.ndim != 2 or weights.attributes.get("axis") not in (1, -1):
        return None
    return _Int8(*rounded.inputs, *weights.inputs)
