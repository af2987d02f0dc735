"""QuantizeLinear and DequantizeLinear where an engine fuses them into products of whole numbers."""

from __future__ import annotations

from math import prod

from onnx import NodeProto, TensorProto

from .finding import RuleResult, result
from .graph import LintGraph, name_of
from .targets import Target

RULE = "quantisation"
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOVES_DATA = ("Flatten", "Reshape", "Transpose")
"""What may stand between a DequantizeLinear and its product."""
_FOLLOWS = ("Clip", "Relu")
"""What engines compute together with the product or the sum before it, and round then."""

_Found = list[tuple[tuple[str, ...], str]]


def check(graph: LintGraph, target: Target) -> RuleResult:
    """Each pair of them, and each product."""
    rounded = graph.of("QuantizeLinear", "DequantizeLinear")
    if not rounded:
        return result(RULE, "none", [])
    if not target.computes_int8:
        reason = f"{target.engine} rounds to 8 bits and multiplies floats: export with --fp16"
        return result(RULE, "", [(tuple(name_of(node) for node in rounded), reason)])
    found: _Found = []
    whole = 0
    for layer in graph.of(*_LAYERS):
        values, weights = (_restored(graph, name) for name in layer.input[:2])
        if values is not None and weights is not None:
            whole += 1
            found += _of_weights(graph, layer, weights)
        elif weights is not None:
            found.append(((name_of(layer),), "its weights are in 8 bits and its input is not: computed in float"))
        elif values is not None and _for_nothing(graph, values):
            found.append(((name_of(layer),), "its input is rounded to 8 bits for it alone, and its weights are not"))
    if target.symmetric_int8:
        found += _asymmetric(graph, rounded)
    return result(RULE, f"{whole} products in 8 bits" if whole else "", found)


def _restored(graph: LintGraph, name: str) -> NodeProto | None:
    """The DequantizeLinear that `name` comes from."""
    return graph.maker(graph.above(name, _MOVES_DATA), "DequantizeLinear")


def _for_nothing(graph: LintGraph, restored: NodeProto) -> bool:
    """Whether neither a product in 8 bits reads what was rounded, nor a product or sum of such values gives it."""
    if not all(node.op_type in _LAYERS and not _in_8_bits(graph, node) for node in graph.readers(restored.output[0])):
        return False
    rounding = graph.maker(restored.input[0], "QuantizeLinear")
    before = graph.maker(graph.above(rounding.input[0], _FOLLOWS), "Add", *_LAYERS) if rounding else None
    return before is None or not _in_8_bits(graph, before)


def _in_8_bits(graph: LintGraph, node: NodeProto) -> bool:
    return all(_restored(graph, name) is not None for name in node.input[:2])


def _of_weights(graph: LintGraph, layer: NodeProto, restored: NodeProto) -> _Found:
    """Weights want a scale for each output."""
    shape, scale = (graph.shapes.get(name, ()) for name in restored.input[:2])
    if restored.input[0] not in graph.tensors:  # two computed tensors are multiplied
        return []
    if prod(size or 1 for size in scale) == 1 and len(shape) > 1:
        return [((name_of(restored),), f"the weights of {name_of(layer)} share one scale: give each output its own")]
    if layer.input[1] != restored.output[0]:  # turned about on the way
        return []
    transposed = bool(graph.attribute(layer, "transB", 0))
    outputs = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0 if transposed else 1, "MatMul": len(shape) - 1}
    axis = graph.attribute(restored, "axis", 1) % max(len(shape), 1)
    if axis != outputs[layer.op_type]:
        return [
            ((name_of(restored),), f"the scales of {name_of(layer)}'s weights lie along axis {axis}, not its outputs")
        ]
    return []


def _asymmetric(graph: LintGraph, rounded: list[NodeProto]) -> _Found:
    """What an engine without zero points cannot read."""
    shifted, wide = [], []
    for node in rounded:
        zero = node.input[2] if len(node.input) > 2 else ""
        # Without a zero point the type is that of the 8-bit tensor: uint8, where QuantizeLinear is not told another.
        of_values = node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]
        kind = graph.types.get(zero or of_values)
        values = graph.constant(zero)
        if kind == TensorProto.INT32:
            wide.append(name_of(node))
        elif kind == TensorProto.UINT8 or (values is not None and values.any()):
            shifted.append(name_of(node))
    found: _Found = []
    if shifted:
        reason = "unsigned, or with a zero point: TensorRT takes signed 8 bits with a zero point of 0 alone"
        found.append((tuple(shifted), reason))
    if wide:
        found.append((tuple(wide), "a bias in 32-bit integers, which TensorRT does not read: leave it in float"))
    return found
