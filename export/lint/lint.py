"""All rules for one file and one target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from radiodino.runtime.backends.onnxruntime_graph import fusable
from radiodino.runtime.errors import ModelFileError

from . import attention, casts, float64, gelu, layer_norm, operators, quantisation, shapes
from .finding import Finding, RuleResult
from .graph import LintGraph
from .targets import get_target


@dataclass(frozen=True)
class Lint:
    """What was found in a file for one target."""

    file: str
    target: str
    engine: str
    results: tuple[RuleResult, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all rules; none where the file is clean."""
        return tuple(found for each in self.results for found in each.findings)


def lint_file(path: Path, target: str) -> Lint:
    """Check the ONNX file `path`, of whatever origin, for `target`.

    Nothing is computed: what an engine fuses is told from the graph.

    Raises:
        InputError: there is no such target.
        ModelFileError: the file is missing or no ONNX model.
    """
    chosen = get_target(target)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ModelFileError(f"{path} is no ONNX model") from error
    if not model.graph.node:
        raise ModelFileError(f"{path} is no ONNX model: it has no operators")
    graph = LintGraph(model, path)
    results = (
        attention.check(graph, chosen, fusable(memoryview(data), cuda=target == "cuda")),
        layer_norm.check(graph),
        gelu.check(graph),
        float64.check(graph),
        casts.check(graph),
        quantisation.check(graph, chosen),
        shapes.check(graph),
        operators.check(graph, chosen),
    )
    return Lint(str(path), target, chosen.engine, results)
