"""No more casts than two precisions need where they meet."""

from __future__ import annotations

from collections import defaultdict

from onnx import NodeProto

from .finding import RuleResult, result
from .graph import LintGraph, name_of

RULE = "casts"
_MOVES_DATA = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose"}
    | {"Unsqueeze"}
)


def check(graph: LintGraph) -> RuleResult:
    """Each cast of the graph."""
    casts = graph.of("Cast")
    found: list[tuple[tuple[str, ...], str]] = []
    found += [((name_of(node),), reason) for node in casts if (reason := _needless(graph, node))]
    alike: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for node in casts:
        alike[node.input[0], graph.attribute(node, "to", 0)].append(name_of(node))
    found += [
        (tuple(names), f"{source} is cast to the same type {len(names)} times")
        for (source, _), names in alike.items()
        if len(names) > 1
    ]
    needed = len(casts) - len({name for names, _ in found for name in names})
    return result(RULE, f"{needed} where two precisions meet" if needed else "" if casts else "none", found)


def _needless(graph: LintGraph, cast: NodeProto) -> str | None:
    """Why a cast is not needed."""
    source, output = cast.input[0], cast.output[0]
    before = graph.maker(source, "Cast")
    if before is not None:
        return f"it casts what {name_of(before)} has cast"
    if source in graph.tensors:
        return "it casts a constant, which can be stored in the type"
    if graph.types.get(source) == graph.attribute(cast, "to", 0):
        return "it casts to the type that its input has"
    readers = graph.readers(output)
    if output not in graph.outputs and readers and all(_undone(graph, node) for node in readers):
        return "what it feeds only moves data, and is cast back"
    return None


def _undone(graph: LintGraph, node: NodeProto) -> bool:
    """Whether `node` moves data for none but casts."""
    if node.op_type not in _MOVES_DATA or any(name in graph.outputs for name in node.output):
        return False
    readers = [reader for name in node.output for reader in graph.readers(name)]
    return bool(readers) and all(reader.op_type == "Cast" for reader in readers)
