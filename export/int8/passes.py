"""The two ways to an int8 graph, with what the file says of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import onnx

from radiodino.runtime.quantisation_info import DYNAMIC, STATIC, SYMMETRIC, QuantisationInfo, QuantisedLayer

from ..engine import Batch
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
    batches = _Told(images.calibration.batches(), progress, "search ranges for 8 bits")
    plan = plan_quantisation(model, batches, Search(symmetric=symmetric), len(images.calibration))
    mixed = quantise_within(gate, plan, images.calibration, progress)
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


class _Told(Sequence[Batch]):
    """Batches that tell of each as it is asked for, and of what follows the last."""

    def __init__(self, batches: Sequence[Batch], progress: Progress, afterwards: str) -> None:
        self._batches, self._progress, self._afterwards = batches, progress, afterwards

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        return self._batches[index]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        for number, batch in enumerate(self._batches, 1):
            self._progress(f"collect ranges, batch {number} of {len(self)}")
            yield batch
        self._progress(self._afterwards)
