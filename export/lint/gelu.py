"""GELU as one operator, or in the form with erf that every target fuses: x · (1 + erf(x / √2)) · ½."""

from __future__ import annotations

from onnx import NodeProto

from .finding import RuleResult, result
from .graph import LintGraph, name_of

RULE = "gelu"
_OPERATORS = ("BiasGelu", "FastGelu", "Gelu", "QuickGelu")


def check(graph: LintGraph) -> RuleResult:
    """Each GELU of the graph."""
    whole = len(graph.of(*_OPERATORS))
    erfs = graph.of("Erf")
    broken = [node for node in erfs if not _is_gelu(graph, node)]
    words = [f"{whole} as one operator"] if whole else []
    if len(erfs) > len(broken):
        words.append(f"{len(erfs) - len(broken)} in the form that is fused")
    reason = "an erf that is not followed by one addition and one multiplication alone, so that no GELU is recognised"
    return result(RULE, ", ".join(words), [((name_of(node),), reason) for node in broken])


def _is_gelu(graph: LintGraph, erf: NodeProto) -> bool:
    added = graph.readers(erf.output[0])
    if graph.maker(erf.input[0], "Div", "Mul") is None or len(added) != 1 or added[0].op_type != "Add":
        return False
    multiplied = graph.readers(added[0].output[0])
    return len(multiplied) == 1 and multiplied[0].op_type == "Mul"
