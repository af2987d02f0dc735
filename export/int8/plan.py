"""The search: what each layer of a graph is rounded to, found once from the calibration images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from ..engine import Batch
from .activations import Statistics, collect, maps_after
from .bias import mean_shift
from .canonical import Float, sum_orders, to_matrix
from .layers import Columns, LinearLayer, linear_layers
from .own_weights import with_own_weights
from .ranges import METHODS, Range, candidate_ranges
from .smooth import ALPHAS, MARGIN, fold, fold_statistics, scaled_statistics, smoothing_scale
from .weights import QuantisedWeight, quantise_weight


@dataclass(frozen=True)
class Search:
    """What is searched; less than all of it only to measure what each part is worth."""

    weights: str = "pair-safe"
    """Of `radiodino.export.int8.weights.SCHEMES`."""
    ranges: tuple[str, ...] = METHODS
    """Of the activations."""
    alphas: tuple[float, ...] = ALPHAS
    """Of SmoothQuant; none is always tried."""
    correct_bias: bool = True
    symmetric: bool = False
    """Whether activations are rounded symmetrically, for TensorRT; see `radiodino.export.int8.ranges.Range`."""
    seed: int = 0
    """Of the sample of activations."""


PLAIN = Search(weights="unrestricted", ranges=("min-max",), alphas=(), correct_bias=False)
"""What most quantisers do unasked; for comparison."""


@dataclass(frozen=True)
class PlannedLayer:
    """How one layer is computed in 8 bits."""

    layer: LinearLayer
    input_range: Range
    weight: QuantisedWeight
    bias: Float | None
    """(N,), corrected; None where the layer has none."""
    alpha: float | None
    """SmoothQuant's, None where nothing is moved from its input into its weights."""
    output_error: float
    """|Δ|² / |output|² on the sampled rows, the bias left out."""


@dataclass(frozen=True)
class Plan:
    """A graph and how its layers are computed in 8 bits; which of them are is for `quantise` to say."""

    model: onnx.ModelProto
    """fp32, with SmoothQuant's scales folded in: the same function to rounding."""
    layers: tuple[PlannedLayer, ...]
    output_ranges: dict[str, Range]
    """Of what convolutions return and are added to, by tensor."""
    images: int
    """That it was calibrated on."""


def plan_quantisation(
    model: onnx.ModelProto,
    batches: Sequence[Batch],
    search: Search | None = None,
    images: int | None = None,
    progress: Callable[[str], None] = lambda _step: None,
) -> Plan:
    """Find out how each layer of `model` is best computed in 8 bits.

    The same for the same arguments: nothing is drawn but the sample of activations, by its seed.

    Args:
        model: fp32 with inferred types, as `radiodino.export.cleanup.clean_up` gives it; left as it is.
        batches: the calibration images as network inputs, each float32 (B, 3, S, S).
        search: None searches all there is.
        images: see `radiodino.export.int8.activations.collect`.
        progress: told what is being done.
    """
    search = search or Search()
    model = with_own_weights(model)
    layers = linear_layers(model)
    statistics = collect(model, layers, batches, search.seed, images, progress)
    progress("search ranges for 8 bits")
    return plan_from_statistics(model, layers, statistics, search)


def plan_from_statistics(
    model: onnx.ModelProto, layers: Sequence[LinearLayer], statistics: Statistics, search: Search
) -> Plan:
    """`plan_quantisation`, of statistics that were collected before.

    Args:
        model: of `radiodino.export.int8.own_weights.with_own_weights`.
        layers: of it.
        statistics: of them.
        search: see there.
    """
    alphas = _choose_alphas(layers, _weights(model, layers), statistics, search)
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    scales = {place: scale for place, (_alpha, scale) in alphas.items()}
    fold(folded, layers, scales)
    statistics = fold_statistics(statistics, layers, scales)

    weights = _weights(folded, layers)
    biases = {tensor.name: numpy_helper.to_array(tensor) for tensor in folded.graph.initializer}
    rounded = {layer.stage: _round_weight(layer, weights[layer.stage], statistics, search) for layer in layers}
    exact = {layer.stage: statistics.rows[layer.stage] @ _matrix(layer, weights) for layer in layers}
    ranges: dict[str, Range] = {}
    for name in dict.fromkeys(layer.input for layer in layers):
        readers = [layer for layer in layers if layer.input == name]

        def error(candidate: Range, readers: Sequence[LinearLayer] = readers) -> float:
            return sum(
                _error(
                    exact[layer.stage], candidate.rounded(statistics.rows[layer.stage]), rounded[layer.stage].restored()
                )
                for layer in readers
            )

        ranges[name] = min(
            candidate_ranges(statistics.tensors[name], search.ranges, symmetric=search.symmetric), key=error
        )

    planned = []
    for layer in layers:
        outputs = ranges[layer.input].rounded(statistics.rows[layer.stage]) @ rounded[layer.stage].restored()
        bias = None if layer.bias is None else biases[layer.bias].astype(np.float32)
        if bias is not None and search.correct_bias:
            bias = bias + mean_shift(exact[layer.stage], outputs)
        planned.append(
            PlannedLayer(
                layer=layer,
                input_range=ranges[layer.input],
                weight=rounded[layer.stage],
                bias=bias,
                alpha=alphas[layer.fold][0] if layer.fold in alphas else None,
                output_error=_relative(exact[layer.stage], outputs),
            )
        )
    returned = [name for layer in layers for name in maps_after(layer)]
    output_ranges = {
        name: ranges.get(name)
        or candidate_ranges(statistics.tensors[name], search.ranges[-1:], symmetric=search.symmetric)[0]
        for name in returned
    }
    return Plan(folded, tuple(planned), output_ranges, statistics.images)


def _weights(model: onnx.ModelProto, layers: Sequence[LinearLayer]) -> dict[str, Float]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return {layer.stage: numpy_helper.to_array(tensors[layer.weight]).astype(np.float32) for layer in layers}


def _matrix(layer: LinearLayer, weights: dict[str, Float]) -> Float:
    matrix: Float = to_matrix(weights[layer.stage], layer)
    return matrix


def _round_weight(layer: LinearLayer, weight: Float, statistics: Statistics, search: Search) -> QuantisedWeight:
    importance = np.square(statistics.rows[layer.stage]).mean(axis=1)
    orders = sum_orders(layer, weight.shape)
    return quantise_weight(to_matrix(weight, layer), importance, orders, search.weights)


def _error(exact: Float, rows: Float, weight: Float) -> float:
    return _relative(exact, rows @ weight)


def _relative(exact: Float, rounded: Float) -> float:
    energy = float(np.square(exact).sum(dtype=np.float64))
    return float(np.square(exact - rounded).sum(dtype=np.float64)) / max(energy, 1e-30)


def _choose_alphas(
    layers: Sequence[LinearLayer], weights: dict[str, Float], statistics: Statistics, search: Search
) -> dict[tuple[Columns, ...], tuple[float, Float]]:
    """For each place that a scale can be folded into, the α and the scale that help clearly; those that do not, not."""
    found: dict[tuple[Columns, ...], tuple[float, Float]] = {}
    for place in dict.fromkeys(layer.fold for layer in layers if layer.fold):
        readers = [layer for layer in layers if layer.fold == place]
        tensors = [statistics.tensors[layer.input] for layer in readers]
        largest = np.max([np.maximum(-tensor.low, tensor.high) for tensor in tensors], axis=0)
        rows = np.max([np.abs(weights[layer.stage]).max(axis=1) for layer in readers], axis=0)
        least = MARGIN * _smoothed_error(readers, weights, statistics, np.ones_like(largest), search)
        for alpha in search.alphas:
            scale = smoothing_scale(largest, rows, alpha)
            error = _smoothed_error(readers, weights, statistics, scale, search)
            if error < least:
                least, found[place] = error, (alpha, scale)
    return found


def _smoothed_error(
    readers: Sequence[LinearLayer], weights: dict[str, Float], statistics: Statistics, scale: Float, search: Search
) -> float:
    """The output error of the layers that read a tensor divided by `scale`, with quickly chosen scales and ranges."""
    total = 0.0
    methods = [method for method in _QUICK if method in search.ranges] or search.ranges[:1]
    for layer in readers:
        rows, weight = statistics.rows[layer.stage], weights[layer.stage]
        smoothed, moved = rows / scale, weight * scale[:, None]
        importance = np.square(smoothed).mean(axis=1)
        orders = sum_orders(layer, weight.shape)
        restored = quantise_weight(moved[None], importance, orders, "unrestricted").restored()  # quick
        ranges = candidate_ranges(
            scaled_statistics(statistics.tensors[layer.input], scale), methods, symmetric=search.symmetric
        )
        exact = rows @ weight[None]
        total += min(_error(exact, found.rounded(smoothed), restored) for found in ranges)
    return total


_QUICK = ("min-max", "percentile 99.99")
"""Ranges tried beside each α."""
