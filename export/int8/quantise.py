"""From an fp32 graph and calibration images to a graph in 8 bits."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import onnx

from ..engine import Batch
from .plan import Plan, PlannedLayer, Search, plan_quantisation
from .qdq import write_qdq


@dataclass(frozen=True)
class LayerChoice:
    """What was chosen for one layer, for the report."""

    stage: str
    """Such as ``blocks.3.mlp.fc1``."""
    quantised: bool
    """False where it was kept float."""
    range_method: str
    """Of `radiodino.export.int8.ranges.METHODS`."""
    alpha: float | None
    """Of SmoothQuant, None where it did not help or cannot be folded."""
    output_error: float
    """|Δ|² / |output|² of the layer alone in 8 bits, on the sampled rows."""
    multiply_adds: int
    """For one image."""


@dataclass(frozen=True)
class Quantised:
    """A graph in 8 bits, and how it came to be."""

    model: onnx.ModelProto
    layers: tuple[LayerChoice, ...]
    """Of every layer that can be computed in 8 bits, in the graph's order."""

    @property
    def float_share(self) -> float:
        """Of the multiply-adds of these layers, the share that was kept float."""
        total = sum(layer.multiply_adds for layer in self.layers)
        return sum(layer.multiply_adds for layer in self.layers if not layer.quantised) / max(total, 1)


def quantise(
    model: onnx.ModelProto,
    batches: Sequence[Batch],
    keep_float: Set[str] = frozenset(),
    search: Search | None = None,
) -> Quantised:
    """`model` with its linear layers and its head's convolutions in 8 bits.

    To try several sets of `keep_float`, search once with `plan_quantisation` and call `write` for each.

    Args:
        model: fp32 with inferred types, as `radiodino.export.cleanup.clean_up` gives it; left as it is.
        batches: the calibration images as network inputs, each float32 (B, 3, S, S).
        keep_float: stages that stay float, of those that `radiodino.export.int8.layers.linear_layers` gives.
        search: None searches all there is.
    """
    return write(plan_quantisation(model, batches, search), keep_float)


def write(plan: Plan, keep_float: Set[str] = frozenset()) -> Quantised:
    """The graph of `plan` with all its layers in 8 bits but `keep_float`.

    Raises:
        ValueError: a name in `keep_float` is no layer's.
    """
    unknown = keep_float - {planned.layer.stage for planned in plan.layers}
    if unknown:
        raise ValueError(f"no layers of this graph: {', '.join(sorted(unknown))}")
    chosen = [planned for planned in plan.layers if planned.layer.stage not in keep_float]
    return Quantised(write_qdq(plan, chosen), tuple(_choice(planned, keep_float) for planned in plan.layers))


def _choice(planned: PlannedLayer, keep_float: Set[str]) -> LayerChoice:
    return LayerChoice(
        stage=planned.layer.stage,
        quantised=planned.layer.stage not in keep_float,
        range_method=planned.input_range.method,
        alpha=planned.alpha,
        output_error=planned.output_error,
        multiply_adds=planned.layer.multiply_adds,
    )
