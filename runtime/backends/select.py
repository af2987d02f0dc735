"""The backends there are, and which of them `auto` takes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ..compute import COMPUTES, INT8
from ..errors import BackendError, InputError
from ..machine import has_vnni
from . import cuda, onnxruntime, openvino
from .protocol import Backend, Job, Status


class _Entry(NamedTuple):
    status: Callable[[], Status]
    open: Callable[[Job], Backend]
    automatic: bool = True
    """Whether `auto` tries it."""


BACKENDS: dict[str, _Entry] = {  # in the order in which `auto` tries them
    "cuda": _Entry(cuda.status, cuda.CudaBackend),
    "openvino": _Entry(openvino.status, openvino.OpenVINOBackend),
    "onnxruntime": _Entry(onnxruntime.status, onnxruntime.OnnxRuntimeBackend),
    # Its engine takes minutes to build, so that it must be asked for.
    "ort-tensorrt": _Entry(cuda.tensorrt_status, partial(cuda.CudaBackend, name="ort-tensorrt"), automatic=False),
}


_OF_ENGINES = "tensorrt"
"""The backend that runs engines (`radiodino.runtime.backends.tensorrt`), and nothing else."""

_GPU = ("cuda", "ort-tensorrt")
_FOR_CPUS = "an int8 file is made for CPUs: export with --fp16 for a GPU"
_UNSUITED = {  # (precision, backend) → why `auto` passes it over
    **{(precision, "cuda"): _FOR_CPUS for precision in INT8},
    ("int8-dynamic", "openvino"): "it computes a file of dynamic int8 more slowly than one of fp32",
}


def statuses() -> list[Status]:
    """Each backend's status on this machine, in the order of `auto`."""
    return [entry.status() for entry in BACKENDS.values()]


def open_backend(job: Job, name: str) -> Backend:
    """Open `job` with the backend `name`, or with the first that works for ``auto``: CUDA, OpenVINO, ONNX Runtime.

    An engine is for TensorRT alone, and TensorRT for engines alone.

    Raises:
        InputError: there is no such backend or arithmetic.
        BackendError: what was asked for is not active, or CUDA was asked for an int8 file; for ``auto``: no backend
            works, with each one's reason.
        ModelFileError: the engine cannot read the file.
    """
    if job.compute is not None and job.compute not in COMPUTES:
        raise InputError(f"there is no arithmetic '{job.compute}': choose {', '.join(COMPUTES)}")
    if name not in ("auto", *BACKENDS, _OF_ENGINES):
        raise InputError(f"there is no backend '{name}': choose auto, {', '.join(BACKENDS)}, {_OF_ENGINES}")
    if job.is_engine:
        if name not in ("auto", _OF_ENGINES):
            raise BackendError(
                f"{job.path} is a TensorRT engine, which backend '{name}' cannot run: leave out --backend, or give it "
                "the ONNX file that the engine was built from"
            )
        from .tensorrt import TensorRTBackend

        return TensorRTBackend(job)
    if name == _OF_ENGINES:
        raise BackendError(
            f"backend '{name}' runs engine files, and {job.path} is an ONNX model: build an engine from it with "
            f" {shlex.join(['radiodino-export', 'engine', str(job.path)])}"
        )
    if name != "auto":
        if name in _GPU and job.precision in INT8:
            raise BackendError(f"{_FOR_CPUS}, or choose --backend openvino or onnxruntime")
        return BACKENDS[name].open(job)
    onnxruntime.refuse_both_installed()
    reasons = []
    for entry in _in_order(job.precision):
        found = entry.status()
        unsuited = _UNSUITED.get((job.precision, found.name))
        if unsuited:
            reasons.append(f"{found.name}: {unsuited}")
            continue
        if found.problem or not found.arithmetic or (job.compute and job.compute not in found.arithmetic.supported):
            reasons.append(f"{found.name}: {found.problem or f'does not compute in {job.compute} here'}")
            continue
        if found.name != "cuda":
            return entry.open(job)
        try:
            return entry.open(job)
        except BackendError as error:  # installed, but the driver or a library is missing: `auto` takes the next
            reasons.append(f"cuda: {error}")
    raise BackendError("no inference backend can be used here; " + "; ".join(reasons))


def _in_order(precision: str) -> list[_Entry]:
    """What `auto` tries for a file: OpenVINO last for one of int8 where it takes half as long again as for fp32."""
    names = [name for name, entry in BACKENDS.items() if entry.automatic]
    if precision in INT8 and has_vnni() is False:
        names.sort(key="openvino".__eq__)
    return [BACKENDS[name] for name in names]


def auto_choice(found: list[Status]) -> tuple[str | None, list[str]]:
    """The backend that ``auto`` takes for a file of its own arithmetic, and why it passes over those before it.

    Args:
        found: what `statuses` returns.
    """
    passed_over: list[str] = []
    for status in found:
        problem = status.problem
        if not BACKENDS[status.name].automatic:
            continue
        if status.arithmetic and status.name == "cuda":
            problem = cuda.problem()
        if not problem:
            return status.name, passed_over
        passed_over.append(f"{status.name}: {problem}")
    return None, passed_over
