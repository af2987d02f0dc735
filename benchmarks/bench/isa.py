"""Engines limited to the instruction sets of an older CPU, all alike, by their own environment variables."""

from __future__ import annotations

from dataclasses import dataclass

from radiodino.runtime.errors import InputError


@dataclass(frozen=True)
class Limit:
    """One limit, as each library calls it."""

    onednn: str
    """``ONEDNN_MAX_CPU_ISA``: OpenVINO's kernels, and PyTorch's convolutions and bf16 products."""
    aten: str
    """``ATEN_CPU_CAPABILITY``: PyTorch's own kernels, and what torch.compile generates."""
    mkl: str
    """``MKL_ENABLE_INSTRUCTIONS``: PyTorch's fp32 products."""

    def environment(self) -> dict[str, str]:
        """What a process must have in its environment before it loads an engine."""
        return {
            "ONEDNN_MAX_CPU_ISA": self.onednn,
            "ATEN_CPU_CAPABILITY": self.aten,
            "MKL_ENABLE_INSTRUCTIONS": self.mkl,
        }


LIMITS: dict[str, Limit] = {
    "avx2": Limit("AVX2", "avx2", "AVX2"),
    "avx2-vnni": Limit("AVX2_VNNI", "avx2", "AVX2"),
    "avx512": Limit("AVX512_CORE", "avx512", "AVX512"),
    "avx512-vnni": Limit("AVX512_CORE_VNNI", "avx512", "AVX512"),
}
"""None of them has bf16 in hardware."""

UNLIMITED = {"onnxruntime": "not limited: ONNX Runtime has no switch for instruction sets and used all of this CPU's"}
"""Engines that know no such limit, and what must be said of their rows."""


def limit_of(name: str | None) -> Limit | None:
    """The limit called `name`; None where there is none.

    Raises:
        InputError: no such limit is known.
    """
    if name is None:
        return None
    if name not in LIMITS:
        raise InputError(f"there is no instruction-set limit '{name}': choose {', '.join(LIMITS)}")
    return LIMITS[name]
