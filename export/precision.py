"""The precision passes: from the fp32 graph to the graph that is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from radiodino.runtime.quantisation_info import QuantisationInfo

from .engine import Batch
from .half import nodes_between, to_half
from .int8.calibration_set import CalibrationSet
from .int8.passes import dynamic_int8, static_int8
from .original import Original
from .ranges import largest_values, nodes_beyond_half
from .settings import ExportSettings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Converted:
    """The graph that is written."""

    model: onnx.ModelProto
    beyond_half: tuple[str, ...] = ()
    """Operators that stay fp32 in an fp16 file because their values leave the half range."""
    quantisation: QuantisationInfo | None = None
    """Of an int8 file."""


@dataclass(frozen=True)
class Source:
    """What a pass is made from."""

    model: onnx.ModelProto
    """fp32, cleaned up."""
    original: Original
    settings: ExportSettings
    batches: list[Batch]
    """The probe images."""
    images: CalibrationSet | None
    """Where the precision is calibrated."""


def convert(source: Source, progress: Progress) -> Converted:
    """The graph of `source` in the precision of its settings.

    Raises:
        VerificationError: an int8 graph does not hold the gate's limits, even with its layers put back to float.
    """
    return _PASSES[source.settings.precision](source, progress)


def _unchanged(source: Source, _progress: Progress) -> Converted:
    return Converted(source.model)


def _half(source: Source, progress: Progress) -> Converted:
    progress("convert to fp16")
    outputs = source.settings.output_names
    beyond = nodes_beyond_half(source.model, largest_values(source.model, source.batches))
    linear = nodes_between(source.model, "embedding", "probabilities") if "probabilities" in outputs else set()
    return Converted(to_half(source.model, beyond | linear), beyond_half=tuple(sorted(beyond)))


def _static(source: Source, progress: Progress) -> Converted:
    if source.images is None:  # which the settings' check refuses
        raise ValueError("an int8 file needs calibration images")
    settings = source.settings
    found = static_int8(
        source.model,
        source.original,
        settings.output_names,
        source.images,
        settings.gate_limits,
        progress,
        symmetric=settings.symmetric,
    )
    return Converted(found.model, quantisation=found.info)


def _dynamic(source: Source, progress: Progress) -> Converted:
    progress("convert to dynamic int8")
    found = dynamic_int8(source.model)
    return Converted(found.model, quantisation=found.info)


_PASSES: dict[str, Callable[[Source, Progress], Converted]] = {
    "fp32": _unchanged,
    "fp16": _half,
    "int8": _static,
    "int8-dynamic": _dynamic,
}
