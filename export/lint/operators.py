"""Operators and opset that the engine reads and computes itself."""

from __future__ import annotations

from collections import defaultdict

from .finding import RuleResult, result
from .graph import LintGraph, name_of
from .targets import Target

RULE = "operators"


def check(graph: LintGraph, target: Target) -> RuleResult:
    """The opset and each operator of the graph."""
    found: list[tuple[tuple[str, ...], str]] = []
    oldest, newest = target.opsets
    if not oldest <= graph.opset <= newest:
        reason = f"opset {graph.opset}: {oldest} to {newest} is read by every supported version of {target.engine}"
        found.append(((), reason))
    unread: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx"):
            if node.domain not in target.domains:
                why = f"{target.engine} does not know the domain"
                unread[f"{node.domain}.{node.op_type}", why].append(name_of(node))
        elif node.op_type in target.unsupported:
            unread[node.op_type, target.unsupported[node.op_type]].append(name_of(node))
    found += [(tuple(names), f"{operator}: {why}") for (operator, why), names in unread.items()]
    return result(RULE, f"opset {graph.opset}, {len(graph.nodes)} nodes" if not found else "", found)
