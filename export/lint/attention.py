"""Attention in one piece: MatMul → [scale, mask] → Softmax → MatMul, or one operator."""

from __future__ import annotations

from onnx import NodeProto

from .finding import RuleResult, result
from .graph import LintGraph, name_of
from .targets import Target

RULE = "attention"
_OPERATORS = ("Attention", "GroupQueryAttention", "MultiHeadAttention", "PackedAttention", "QAttention")
_BEFORE = ("Add", "Cast", "Div", "Mul", "Where")
"""Between the first product and the softmax: scale, mask, a cast around a softmax in fp32."""


def check(graph: LintGraph, target: Target, fused: frozenset[str]) -> RuleResult:
    """Each attention of the graph.

    Args:
        graph: see there.
        target: see there.
        fused: outputs of the softmaxes that the runtime replaces, with what is around them, by one operator when a
            file is opened (`radiodino.runtime.backends.onnxruntime_graph.fusable`).
    """
    whole = len(graph.of(*_OPERATORS))
    one_query = 0
    found: list[tuple[tuple[str, ...], str]] = []
    for softmax in graph.of("Softmax"):
        scores = graph.maker(graph.above(softmax.input[0], _BEFORE), "MatMul")
        weighted, others = _reader(graph, softmax)
        if scores is None and weighted is None:  # of a classifier, say
            continue
        nodes = tuple(name_of(node) for node in (scores, softmax, weighted) if node is not None)
        if scores is None or weighted is None:
            missing = "before" if scores is None else "after"
            found.append((nodes, f"no product of matrices stands {missing} the softmax, so that it is not fused"))
        elif others:
            found.append((nodes, f"the softmax is read by {', '.join(others)} too, so that it goes to memory"))
        elif target.fuses_plain_attention or softmax.output[0] in fused:
            whole += 1
        elif _queries(graph, softmax) == 1:
            one_query += 1
        else:
            found.append((nodes, f"{target.engine} is given no fused attention for this form: computed in pieces"))
    words = [f"{whole} in one piece"] if whole else []
    words += [f"{one_query} of one query, which gains nothing"] if one_query else []
    return result(RULE, ", ".join(words), found)


def _reader(graph: LintGraph, softmax: NodeProto) -> tuple[NodeProto | None, list[str]]:
    """The product that reads the softmax's output, a cast apart, and what else reads it."""
    output = softmax.output[0]
    weighted, others = None, ["an output of the graph"] if output in graph.outputs else []
    waiting = graph.readers(output)
    if len(waiting) == 1 and waiting[0].op_type == "Cast" and waiting[0].output[0] not in graph.outputs:
        output = waiting[0].output[0]
        waiting = graph.readers(output)
    for node in waiting:
        if node.op_type == "MatMul" and node.input[0] == output and weighted is None:
            weighted = node
        else:
            others.append(name_of(node))
    return weighted, others


def _queries(graph: LintGraph, softmax: NodeProto) -> int | None:
    shape = graph.shapes.get(softmax.output[0], ())
    return shape[-2] if len(shape) > 1 else None
