"""What every inference engine is to the rest of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..compute import Arithmetic

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Status:
    """Whether a backend can be used on this machine."""

    name: str
    version: str | None
    """Of the engine; None where it is not installed."""
    arithmetic: Arithmetic | None
    """None where the backend cannot be used."""
    problem: str | None = None
    """Why it cannot be used, with the cure; None where it can."""


@dataclass(frozen=True)
class Job:
    """What a backend is asked to open."""

    path: Path
    precision: str
    """Of the stored weights, of `radiodino.runtime.compute.PRECISIONS`."""
    cache_key: str | None
    """The file's SHA-256, under which a compiled model is kept for the next start; None keeps none."""
    compute: str | None
    """The arithmetic asked for; None follows the file (`radiodino.runtime.compute`)."""
    threads: int | None
    """Threads of all inferences together; None takes the physical cores this process may use."""
    optimised: bool = True
    """False leaves the graph as it is in the file, where the engine (ONNX Runtime) has such a switch: to judge a file,
    not to use it."""
    one_image: bool = False
    """Whether to prepare for one image at a time; other numbers are prepared for when they come."""
    parallel: int = 1
    """Inferences that may be asked for at the same time; on a CPU no more than there are threads."""
    decides: bool = False
    """Whether the file classifies or segments."""
    is_engine: bool = False
    """Whether `path` is a TensorRT engine and no ONNX model."""
    bf16_residual: bool = False
    """See `radiodino.runtime.model_info.ModelInfo`."""
    images: int = 1
    """Of one inference, that are prepared for where an engine must know."""
    levels: NDArray[np.float32] | None = None
    """What the network's input is for each 8-bit value in each channel, (3, 256)
    (`radiodino.runtime.preprocessing.Preprocessor.levels`); None where that is not known."""


class Backend(Protocol):
    """A model opened by one engine."""

    @property
    def name(self) -> str:
        """As in `radiodino.runtime.backends.BACKENDS`."""

    @property
    def version(self) -> str:
        """Of the engine."""

    @property
    def compute(self) -> str:
        """The arithmetic that is active, of `radiodino.runtime.compute.COMPUTES`."""

    @property
    def threads(self) -> int | None:
        """CPU threads of all inferences together; None on a GPU."""

    @property
    def parallel(self) -> int:
        """As many threads may call `run` at the same time, and no more."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(-1, 3, height, width); -1 is a dynamic batch."""

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output by its name, likewise."""

    @property
    def takes_pixels(self) -> bool:
        """Whether `run` takes 8-bit pixels too and normalises them on its device, as a GPU does for many images."""

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        """All outputs for a contiguous batch (B, 3, H, W), each a float32 array of its own memory.

        Args:
            batch: float32, normalised; where `takes_pixels`, or uint8, not normalised.
        """
