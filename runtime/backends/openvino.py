"""OpenVINO on the CPU, computing in the precision that it is told."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute import Arithmetic, choose_compute
from ..errors import BackendError, MissingExtraError, ModelFileError
from ..home import home
from ..machine import has_hardware_bf16, usable_cores
from .protocol import Job, Outputs, Status

NAME = "openvino"
_PRECISION_HINT = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def status() -> Status:
    """Whether OpenVINO can be used here, and in which arithmetic."""
    try:
        import openvino
    except ImportError:
        return Status(NAME, None, None, str(MissingExtraError("openvino", "cpu")))
    return Status(NAME, _version(openvino), _arithmetic(openvino.Core()))


class OpenVINOBackend:
    """A model compiled by OpenVINO for this CPU.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BackendError: the asked-for arithmetic is not supported, or not active after compilation.
        ModelFileError: OpenVINO cannot read the file.
    """

    name = NAME

    def __init__(self, job: Job) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("openvino", "cpu") from None
        core = openvino.Core()
        self.version = _version(openvino)
        self.compute = choose_compute(NAME, _arithmetic(core), precision=job.precision, requested=job.compute)
        self.threads = job.threads or usable_cores()
        # Without the hint OpenVINO takes bf16 by itself where the CPU has it, also for an fp32 file.
        hint = _PRECISION_HINT[self.compute]
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": hint,
            "EXECUTION_MODE_HINT": "ACCURACY" if hint == "f32" else "PERFORMANCE",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        cache = _cache_folder(job.cache_key) if job.cache_key else None
        if cache:
            options["CACHE_DIR"] = cache
        try:
            self._model = core.compile_model(str(job.path), "CPU", options)
        except RuntimeError as error:
            raise ModelFileError(f"OpenVINO {self.version} cannot open {job.path}: {_first_line(error)}") from error
        active = self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if active != hint:
            raise BackendError(f"OpenVINO was asked to compute in {hint} and computes in {active}: choose --compute")
        self._request = self._model.create_infer_request()
        self.input_shape = _shape(self._model.input(0))
        self.output_shapes = {port.any_name: _shape(port) for port in self._model.outputs}

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """All outputs for `batch`, see `Backend.run`."""
        results = self._request.infer([batch], share_inputs=True)
        return {name: np.asarray(results[name], np.float32) for name in self.output_shapes}


def _version(openvino: Any) -> str:
    return str(openvino.__version__).split("-", 1)[0]


def _arithmetic(core: Any) -> Arithmetic:
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    supported = ["fp32", *(name for name in ("bf16", "fp16") if name.upper() in capabilities)]
    # OpenVINO lists BF16 on AVX-512 CPUs that only emulate it; where the flags can be read they decide.
    in_hardware = "bf16" in supported and has_hardware_bf16() is not False
    return Arithmetic(tuple(supported), "bf16" if in_hardware else "fp32")


def _cache_folder(key: str) -> str | None:
    """A folder for the compiled model, named by the file's digest.

    OpenVINO's own key is the file's path and time, which two exports of one size within a second share.
    """
    folder = home() / "openvino" / key[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(-1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape())


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
