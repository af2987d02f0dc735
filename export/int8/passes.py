"""The two ways to an int8 graph, with what the file says of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import onnx

from radiodino.runtime.quantisation_info import DYNAMIC, STATIC, SYMMETRIC, QuantisationInfo, QuantisedLayer

from ..original import Original
from . import dynamic
from .calibration_set import CalibrationSet
from .gate import Gate
from .layers import LinearLayer, linear_layers
from .limits import GateLimits
from .mixed import quantise_within
from .multiply_adds import multiply_adds
from .plan import Search, plan_quantisation

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Int8:
    """A graph in 8 bits and what its file says of it."""

    model: onnx.ModelProto
    info: QuantisationInfo


def static_int8(
    model: onnx.ModelProto,
    original: Original,
    outputs: tuple[str, ...],
    images: CalibrationSet,
    limits: GateLimits,
    progress: Progress,
    *,
    symmetric: bool = False,
) -> Int8:
    """The graph with ranges from calibration images, as far in 8 bits as the gate lets it.

    Args:
        model: fp32, as `radiodino.export.cleanup.clean_up` gives it.
        original: what it was made from.
        outputs: of the file.
        images: to calibrate on, and to judge by.
        limits: what the gate demands.
        progress: told what is being done.
        symmetric: whether activations are rounded symmetrically, for TensorRT.

    Raises:
        VerificationError: the gate does not hold.
    """
    gate = Gate(original, outputs, images, limits, progress)
    calibration, search = images.calibration, Search(symmetric=symmetric)
    plan = plan_quantisation(model, calibration.batches(), search, len(calibration), progress)
    mixed = quantise_within(gate, plan, calibration, progress)
    layers = [planned for planned in plan.layers if planned.layer.stage not in mixed.put_back]
    kept, in_float = _shares(model, [planned.layer for planned in plan.layers], mixed.put_back)
    info = QuantisationInfo(
        method=STATIC,
        layers=tuple(
            QuantisedLayer(name=planned.layer.stage, method=planned.input_range.method, alpha=planned.alpha)
            for planned in layers
        ),
        kept_float=mixed.put_back,
        calibration=images.info,
        gate=mixed.gate,
        limits=(SYMMETRIC,) if symmetric else (),
        kept_share=kept,
        float_share=in_float,
    )
    return Int8(mixed.quantised.model, info)


def dynamic_int8(model: onnx.ModelProto) -> Int8:
    """The graph with ranges found in each batch; nothing judges it here.

    Args:
        model: fp32, as `radiodino.export.cleanup.clean_up` gives it.
    """
    every = linear_layers(model)
    layers = dynamic.dynamic_layers(every)
    info = QuantisationInfo(
        method=DYNAMIC,
        layers=tuple(QuantisedLayer(name=layer.stage, method="each batch", alpha=None) for layer in layers),
        kept_float=(),
        calibration=None,
        gate=(),
        limits=dynamic.LIMITS + ((dynamic.CONVOLUTIONS_STAY,) if len(layers) < len(every) else ()),
        kept_share=0.0,
        float_share=_shares(model, layers, ())[1],
    )
    return Int8(dynamic.to_dynamic(model, layers), info)


def _shares(model: onnx.ModelProto, layers: Sequence[LinearLayer], put_back: Collection[str]) -> tuple[float, float]:
    """Of the multiply-adds of `model`, the share of the layers put back, and the share of all that is in float."""
    total = multiply_adds(model)
    kept = sum(layer.multiply_adds for layer in layers if layer.stage in put_back)
    quantised = sum(layer.multiply_adds for layer in layers) - kept
    return kept / total, 1 - quantised / total
