"""What an engine is compared with: the PyTorch original, or where there is no PyTorch the ONNX file on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radiodino.runtime.model import Model

from ..engine import Batch, cpu_backends
from ..probe_images import probe_batches


@dataclass(frozen=True)
class Reference:
    """Answers in fp32 arithmetic."""

    name: str
    """For the report."""
    batches: list[Batch]
    """The network's inputs."""
    outputs: list[dict[str, Batch]]
    """The answers for each of them."""
    recorded: list[dict[str, Any]]
    """What this comparison gave before, as reports have it: an int8 network's cosines must be the same again."""


def from_pytorch(path: Path, weights: str | tuple[str, ...] | None) -> Reference:
    """The original that the ONNX or engine file at `path` was made from.

    Args:
        path: what radiodino-export wrote.
        weights: see `radiodino.export.recorded_original.recorded_original`.

    Raises:
        ModelFileError: see there, as for the others.
        InputError: likewise.
        WeightsError: likewise.
    """
    from ..recorded_original import recorded_original
    from ..verify import pytorch_reference, reference_outputs

    info, original = recorded_original(path, weights)
    batches = probe_batches(info.image_size)
    outputs = reference_outputs(original, tuple(output.name for output in info.outputs), batches)
    return Reference(pytorch_reference(), batches, outputs, info.verification.get("comparisons", []))


def from_onnx(path: Path) -> Reference:
    """The ONNX file at `path` itself, on the CPU in fp32: it was compared with PyTorch when it was made.

    Raises:
        BackendError: no CPU engine is installed.
        ModelFileError: the file is damaged or foreign.
    """
    model = Model.load(path, backend=cpu_backends()[-1].name, compute="fp32", cache=False)
    batches = probe_batches(model.info.image_size)
    name = f"{path.name} in {model.backend.name} {model.backend.version}, fp32"
    outputs = [model.run(batch) for batch in batches]
    itself = [{"output": output.name, "cosine": 1.0} for output in model.info.outputs]
    return Reference(name, batches, outputs, itself)
