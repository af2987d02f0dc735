"""Fixed sizes but for the batch: an engine prepares for one shape of image."""

from __future__ import annotations

from .finding import RuleResult, result
from .graph import LintGraph

RULE = "shapes"


def check(graph: LintGraph) -> RuleResult:
    """Each input of the graph."""
    found: list[tuple[tuple[str, ...], str]] = []
    fixed = 0
    for value in graph.model.graph.input:
        if value.name in graph.tensors:
            continue
        shape = graph.shapes.get(value.name)
        open_axes = [axis for axis, size in enumerate(shape or ()) if size is None and axis > 0]
        if shape is None:
            found.append(((value.name,), "its shape is not stated"))
        elif open_axes:
            axes = ", ".join(map(str, open_axes))
            found.append(((value.name,), f"axis {axes} is not fixed: only the batch, axis 0, should be open"))
        else:
            fixed += 1
    return result(RULE, "fixed but for the batch" if fixed and not found else "", found)
