"""Which arithmetic a file is computed in: it follows the file, and is never changed unsaid.

| file | CUDA | OpenVINO, bf16 in hardware | OpenVINO elsewhere | ONNX Runtime CPU |
|------|------|----------------------------|--------------------|------------------|
| fp32 | fp32 | fp32                       | fp32               | fp32             |
| fp16 | fp16 | bf16                       | fp32               | fp32             |

Half precision on a CPU is storage, not arithmetic: engines emulate it, more slowly than fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import BackendError

COMPUTES = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Arithmetic:
    """What one backend can compute in on this machine."""

    supported: tuple[str, ...]
    """Of `COMPUTES`."""
    for_half: str
    """What an fp16 file computes in by default."""


def choose_compute(backend: str, arithmetic: Arithmetic, *, precision: str, requested: str | None) -> str:
    """The arithmetic for a file of `precision` on `backend`.

    Raises:
        BackendError: where the requested arithmetic is not to be had on this backend and machine.
    """
    if requested is None:
        return arithmetic.for_half if precision == "fp16" else "fp32"
    if requested not in arithmetic.supported:
        raise BackendError(
            f"{backend} on this machine does not compute in {requested}: choose {' or '.join(arithmetic.supported)}, "
            "or leave out --compute to follow the file"
        )
    return requested
