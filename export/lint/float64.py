"""No float64: GPUs compute it at a small fraction of their speed, and TensorRT narrows it without a word."""

from __future__ import annotations

from onnx import TensorProto

from .finding import RuleResult, result
from .graph import LintGraph

RULE = "float64"


def check(graph: LintGraph) -> RuleResult:
    """All tensors of type double."""
    doubles = [name for name, kind in graph.types.items() if kind == TensorProto.DOUBLE]
    found = [(tuple(doubles), "float64: convert it to float32 before export")] if doubles else []
    return result(RULE, "" if doubles else "none", found)
