"""LayerNorm as one operator, not as means, differences and roots."""

from __future__ import annotations

from onnx import NodeProto

from .finding import RuleResult, result
from .graph import LintGraph, name_of

RULE = "layer norm"
_OPERATORS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization")


def check(graph: LintGraph) -> RuleResult:
    """Each LayerNorm of the graph."""
    whole = len(graph.of(*_OPERATORS))
    pieces = [node for node in graph.of("Div", "Mul") if _divides_by_deviation(graph, node)]
    found = [((name_of(node),), "a LayerNorm in pieces: export it with opset 17 or newer") for node in pieces]
    return result(RULE, f"{whole} as one operator" if whole else "", found)


def _divides_by_deviation(graph: LintGraph, node: NodeProto) -> bool:
    """Whether `node` divides x − mean(x) by a root, or multiplies it by the inverse of one."""
    left, right = node.input
    pairs = [(left, right)] if node.op_type == "Div" else [(left, right), (right, left)]
    for centred, deviation in pairs:
        difference = graph.maker(centred, "Sub")
        root = "Sqrt" if node.op_type == "Div" else "Reciprocal"
        if difference and graph.maker(difference.input[1], "ReduceMean") and graph.maker(deviation, root):
            return True
    return False
