"""A traced graph made small and readable: module names on nodes and tensors, no traces of the machine that made it."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import onnx
from onnx import NodeProto

_SCOPES = "pkg.torch.onnx.name_scopes"
_MODULES = ("backbone.", "head.", "segment_head.")
"""How the weights of `radiodino.export.task_network.TaskNetwork` begin; those of the backbone lose it."""


def clean_up(model: onnx.ModelProto, stages: Iterable[str]) -> onnx.ModelProto:
    """Rename, strip and check a traced model.

    Args:
        model: as `radiodino.export.trace.trace` gives it.
        stages: module paths, for example ``blocks.3`` of the backbone and ``segment_head.leave``; the tensor each
            module returns gets its name, which is where a divergence is looked for.

    Returns:
        A model of the same function, with types and shapes inferred for every tensor.
    """
    cleaned = onnx.ModelProto()
    cleaned.CopyFrom(model)
    graph = cleaned.graph
    graph.name = "radiodino"
    cleaned.producer_name, cleaned.producer_version = "radiodino", ""
    scopes = [_module_path(node) for node in graph.node]
    _rename(graph, _new_names(graph, scopes, list(stages)))
    for node in graph.node:
        node.name = node.output[0]
    _strip(cleaned)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    cleaned = onnx.shape_inference.infer_shapes(cleaned, check_type=True, strict_mode=True)
    onnx.checker.check_model(cleaned, full_check=True)
    return cleaned


def _module_path(node: NodeProto) -> str:
    """The module whose forward made `node`, as a path below the network, or the backbone in it; empty at the top."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = ast.literal_eval(entry.value)
            path: str = scopes[-2] if len(scopes) > 1 else ""
            if path.startswith("_"):  # the exporter's own, such as reading the batch size
                return ""
            return path.removeprefix("backbone").removeprefix(".")
    return ""


def _new_names(graph: onnx.GraphProto, scopes: list[str], stages: list[str]) -> dict[str, str]:
    fixed = {value.name for value in (*graph.input, *graph.output)}
    initializers = {tensor.name for tensor in graph.initializer}
    names: dict[str, str] = {}
    taken = set(fixed)

    def give(old: str, wanted: str) -> None:
        if old in fixed or old in names or not old:
            return
        new, count = wanted, 1
        while new in taken:
            count += 1
            new = f"{wanted}_{count}"
        names[old] = new
        taken.add(new)

    for stage in stages:
        inside = [i for i, scope in enumerate(scopes) if scope == stage or scope.startswith(f"{stage}.")]
        if inside:
            give(graph.node[inside[-1]].output[0], stage)
    for node, scope in zip(graph.node, scopes, strict=True):
        for name in node.input:
            if name in initializers:
                role = "weight" if node.op_type == "MatMul" else "constant"
                own = name.startswith(_MODULES)
                give(name, name.removeprefix("backbone.") if own else f"{scope or 'model'}.{role}")
        for output in node.output:
            give(output, f"{scope or 'model'}/{node.op_type}")
    return names


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _strip(model: onnx.ModelProto) -> None:
    """Drop what describes the tracing (source paths among it) and what shape inference will say again."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    model.doc_string = graph.doc_string = ""
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
