"""Which arithmetic a file is computed in: it follows the file, and is never changed unsaid.

| file               | CUDA | OpenVINO, bf16 in hardware | OpenVINO elsewhere | ONNX Runtime CPU |
|--------------------|------|----------------------------|--------------------|------------------|
| fp32               | fp32 | fp32                       | fp32               | fp32             |
| fp16, embeddings   | fp16 | bf16                       | fp32               | fp32             |
| fp16, with a head  | fp16 | fp32                       | fp32               | fp32             |
| int8               | -    | bf16                       | fp32               | fp32             |

A head's file decides: in bf16 one of some hundred real images gets another class than the original gives it, mostly
where that one is close. ``--compute bf16`` asks for it.

Half precision on a CPU is storage, not arithmetic: engines emulate it, more slowly than fp32. Of an int8 file the table
says what the float parts are computed in (attention, norms, patch embedding, the classifier's head): its quantised
layers multiply whole numbers everywhere. It is made for CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import BackendError

COMPUTES = ("fp32", "bf16", "fp16")

PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic")
"""Of the stored weights. ``int8`` has the ranges of the activations in the file, ``int8-dynamic`` finds those of each
batch anew."""
INT8 = ("int8", "int8-dynamic")


@dataclass(frozen=True)
class Arithmetic:
    """What one backend can compute in on this machine."""

    supported: tuple[str, ...]
    """Of `COMPUTES`."""
    for_half: str
    """What an fp16 file and the float parts of an int8 file are computed in by default."""


def choose_compute(
    backend: str, arithmetic: Arithmetic, *, precision: str, requested: str | None, decides: bool = False
) -> str:
    """The arithmetic for a file of `precision` on `backend`; `decides` where it has a head.

    Raises:
        BackendError: where the requested arithmetic is not to be had on this backend and machine.
    """
    if requested is None:
        exact = precision == "fp32" or (precision == "fp16" and decides and arithmetic.for_half == "bf16")
        if exact and "fp32" not in arithmetic.supported:
            raise BackendError(
                f"{backend} does not compute an {precision} file in fp32: export with --fp16, or choose another backend"
            )
        return "fp32" if exact else arithmetic.for_half
    if requested == "fp16" and precision in INT8:
        raise BackendError(
            f"the file is {precision} and its float parts are not computed in fp16: choose --compute fp32 or bf16, or "
            "leave it out"
        )
    if requested not in arithmetic.supported:
        raise BackendError(
            f"{backend} on this machine does not compute in {requested}: choose {' or '.join(arithmetic.supported)}, "
            "or leave out --compute to follow the file"
        )
    return requested
