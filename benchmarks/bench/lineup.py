"""Who takes part: engines × precisions, and why a pair that was asked for is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from radiodino.runtime.backends import statuses, tensorrt
from radiodino.runtime.backends.protocol import Status
from radiodino.runtime.errors import BackendError, InputError
from radiodino.runtime.machine import has_hardware_bf16

from .contender import PYTORCH, PYTORCH_COMPILE

CUDA_ORIGINAL, CUDA_COMPILE = "pytorch-cuda", "pytorch-cuda-compile"
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-dynamic")
_TORCH: dict[str, tuple[str, tuple[str, ...]]] = {
    # engine: device, precisions
    PYTORCH: ("cpu", ("fp32", "bf16")),
    PYTORCH_COMPILE: ("cpu", ("fp32", "bf16")),
    CUDA_ORIGINAL: ("cuda", ("fp32", "fp16", "bf16")),
    CUDA_COMPILE: ("cuda", ("fp32", "fp16", "bf16")),
}
_RUNTIME: dict[str, tuple[str, tuple[str, ...]]] = {
    "onnxruntime": ("cpu", ("fp32", "fp16", "int8", "int8-dynamic")),
    "openvino": ("cpu", ("fp32", "fp16", "bf16", "int8", "int8-dynamic")),
    "cuda": ("cuda", ("fp32", "fp16")),
    "tensorrt": ("cuda", ("fp32", "fp16")),
    "ort-tensorrt": ("cuda", ("fp16",)),
}
_ENGINES = {**_TORCH, **_RUNTIME}
_ASKED_FOR = {"ort-tensorrt", "tensorrt"}
"""Engines of the runtime that are measured only where they are named: building one takes minutes."""
ENGINES = tuple(_ENGINES)


@dataclass(frozen=True)
class Entry:
    """One engine in one precision."""

    engine: str
    precision: str
    compute: str | None
    """The arithmetic to be told; None follows the file."""
    device: str

    @property
    def is_torch(self) -> bool:
        """Whether it runs the original's module, not a file."""
        return self.engine in _TORCH


@dataclass(frozen=True)
class Lineup:
    """Who takes part, and who does not."""

    entries: tuple[Entry, ...]
    left_out: dict[str, str]
    """Why, by ``engine precision``."""


def default_engines() -> tuple[str, ...]:
    """PyTorch eager and every engine of the runtime that can be used here."""
    usable = {status.name for status in _statuses() if status.arithmetic}
    usable -= _ASKED_FOR if _has_cuda() else {*_ASKED_FOR, "cuda"}
    return (PYTORCH, *(engine for engine in _RUNTIME if engine in usable))


def lineup(engines: Sequence[str], precisions: Sequence[str], isa: str | None) -> Lineup:
    """Every one of `engines` in every one of `precisions` that it has, the original of its device first.

    Args:
        engines: of `ENGINES`.
        precisions: of `PRECISIONS`.
        isa: of `radiodino.benchmarks.bench.isa.LIMITS`; with one, nothing is computed in bf16.

    Raises:
        InputError: an engine or a precision is unknown.
        BackendError: an engine that was asked for cannot be used here.
    """
    check_names("--engines", engines, ENGINES)
    check_names("--precisions", precisions, PRECISIONS)
    bf16 = has_hardware_bf16() is True and isa is None
    entries: dict[Entry, None] = {}
    left_out: dict[str, str] = {}
    for engine in engines:
        _refuse_unusable(engine)
        device, _ = _ENGINES[engine]
        entries.setdefault(Entry(CUDA_ORIGINAL if device == "cuda" else PYTORCH, "fp32", "fp32", device))
    for precision in precisions:
        for engine in engines:
            reason = _why_not(engine, precision, precisions, bf16=bf16)
            if reason:
                left_out[f"{engine} {precision}"] = reason
                continue
            told = precision if engine in _TORCH or precision == "bf16" else None
            if engine == "openvino" and told is None and not bf16:
                told = "fp32"  # what it would take by itself on the CPU that this one is limited to
            entries.setdefault(Entry(engine, precision, told, _ENGINES[engine][0]))
    return Lineup(tuple(entries), left_out)


def check_names(option: str, asked: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names that nobody knows.

    Raises:
        InputError: where there is one, or none at all is given.
    """
    if not asked:
        raise InputError(f"{option} names nothing: choose {', '.join(known)}")
    for name in asked:
        if name not in known:
            raise InputError(f"{option} names '{name}', which there is not: choose {', '.join(known)}")


def _why_not(engine: str, precision: str, precisions: Sequence[str], *, bf16: bool) -> str | None:
    device, offered = _ENGINES[engine]
    if precision not in offered:
        return f"{engine} has no {precision} here: it has {', '.join(offered)}"
    if precision == "bf16" and device == "cpu" and not bf16:
        return "this CPU, or the one that it is limited to, has no bf16 in hardware"
    if engine == "openvino" and precision == "bf16" and "fp16" in precisions:
        return "it is the row of fp16: OpenVINO computes an fp16 file in bf16 here"
    return None


def _refuse_unusable(engine: str) -> None:
    if engine in _TORCH:
        if _TORCH[engine][0] == "cuda" and not _has_cuda():
            raise BackendError(f"{engine} was asked for, and PyTorch finds no CUDA device: leave it out of --engines")
        return
    problem = {status.name: status.problem for status in _statuses()}[engine]
    if problem:
        raise BackendError(f"{engine} was asked for and cannot be used: {problem}")


@lru_cache(maxsize=1)
def _statuses() -> tuple[Status, ...]:
    return (*statuses(), tensorrt.status())


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
