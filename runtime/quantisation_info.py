"""What an int8 file says of how it was quantised, and of how it was judged before it was written."""

from __future__ import annotations

from dataclasses import dataclass

STATIC, DYNAMIC = "static", "dynamic"
SYMMETRIC = "activations are rounded symmetrically, as TensorRT asks for: for a CPU export without, its steps are finer"
"""A limit that a file for TensorRT has, and no other."""


@dataclass(frozen=True, kw_only=True)
class CalibrationInfo:
    """The images that the ranges of the activations were chosen on, and those that the file was judged on."""

    sources: tuple[str, ...]
    """Names of the archives, image sets and folders, without their path."""
    count: int
    """Images to calibrate."""
    held_out: int
    """Other images, to judge."""
    seed: int
    """Of the choice among all images."""
    sha256: str
    """Over the decoded pixels of the images to calibrate, in their order."""
    notes: tuple[str, ...]
    """What must be known of the images, as sentences that name no file."""


@dataclass(frozen=True, kw_only=True)
class QuantisedLayer:
    """One layer whose weights and input are int8."""

    name: str
    method: str
    """How the range of its input was chosen."""
    alpha: float | None
    """SmoothQuant's α where it was used, else None."""


@dataclass(frozen=True, kw_only=True)
class GateMeasure:
    """One number of the file beside the fp32 original, over the held-out images."""

    output: str
    """That it is of."""
    name: str
    value: float
    limit: float | None
    """What the value must reach; None where the images do not allow to judge it."""
    images: int
    """Those that count."""
    passed: bool


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """The measures of one engine."""

    engine: str
    """Name and version."""
    compute: str
    """The arithmetic of what is not int8."""
    optimised: bool
    """Whether the engine's optimisation of the graph was on, as it is for users."""
    measures: tuple[GateMeasure, ...]

    @property
    def passed(self) -> bool:
        """Whether every measure is within its limit."""
        return all(measure.passed for measure in self.measures)


@dataclass(frozen=True, kw_only=True)
class QuantisationInfo:
    """How a file was quantised."""

    method: str
    """``static`` (ranges of the activations from calibration images) or ``dynamic`` (from each batch itself)."""
    layers: tuple[QuantisedLayer, ...]
    """In int8."""
    kept_float: tuple[str, ...]
    """Layers that went back to float so that the gate holds, the most sensitive first."""
    kept_share: float
    """Share of the network's multiply-adds that they have, 0..1."""
    float_share: float
    """Share of the network's multiply-adds that is computed in float, 0..1, attention and patch embedding included."""
    calibration: CalibrationInfo | None
    """None of a dynamic file."""
    gate: tuple[GateResult, ...]
    """Of every engine and arithmetic; empty of a dynamic file, which `ModelInfo.verification` judges."""
    limits: tuple[str, ...] = ()
    """What a user must know of such a file, as sentences."""

    @property
    def symmetric(self) -> bool:
        """Whether zero stands for zero in every 8-bit number, as TensorRT asks for."""
        return SYMMETRIC in self.limits

    @property
    def notes(self) -> tuple[str, ...]:
        """All that a user must be told of it, beside what it gained."""
        return (*(self.calibration.notes if self.calibration else ()), *self.limits)
