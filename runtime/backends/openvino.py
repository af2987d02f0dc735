"""OpenVINO on the CPU, computing in the precision that it is told."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute import Arithmetic, choose_compute
from ..errors import BackendError, MissingExtraError, ModelFileError
from ..machine import has_hardware_bf16, usable_cores
from .compiled_cache import compiled_path, keep_compiled, load_compiled
from .openvino_graph import keep_residual_in_bf16
from .protocol import Job, Outputs, Status

NAME = "openvino"
_FIRST_USE = Lock()
_PRECISION_HINT = {"fp32": "f32", "bf16": "bf16"}
"""Not f16: under that hint OpenVINO narrows what a file keeps in fp32 because it would overflow, and is slower."""


def status() -> Status:
    """Whether OpenVINO can be used here, and in which arithmetic."""
    try:
        openvino = _engine()
    except (MissingExtraError, BackendError) as error:
        return Status(NAME, None, None, str(error))
    return Status(NAME, _version(openvino), _arithmetic(openvino.Core()))


class OpenVINOBackend:
    """A model compiled by OpenVINO for this CPU.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BackendError: OpenVINO cannot be loaded, or the asked-for arithmetic is not supported or not active.
        ModelFileError: OpenVINO cannot read the file.
    """

    name = NAME
    takes_pixels = False

    def __init__(self, job: Job) -> None:
        openvino = _engine()
        self._core = openvino.Core()
        self._job = job
        self.version = _version(openvino)
        self.compute = choose_compute(
            NAME, _arithmetic(self._core), precision=job.precision, requested=job.compute, decides=job.decides
        )
        self.threads = job.threads or usable_cores()
        self.parallel = min(job.parallel, self.threads)
        self._opening = Lock()
        self._requests: dict[int | None, SimpleQueue[Any]] = {}
        """Those that are free, by the number of images that was compiled for, None for any."""
        model = self._open(1 if job.one_image else None)
        self.input_shape = _shape(model.input(0))
        self.output_shapes = {port.any_name: _shape(port) for port in model.outputs}
        if 1 in self._requests:  # of a graph that takes any number
            self.input_shape = (-1, *self.input_shape[1:])
            self.output_shapes = {name: (-1, *shape[1:]) for name, shape in self.output_shapes.items()}

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        """All outputs for `batch`, see `Backend.run`."""
        with self._opening:
            if len(batch) not in self._requests and None not in self._requests:
                self._open(None)
        requests = self._requests.get(len(batch)) or self._requests[None]
        request = requests.get()
        try:
            results = request.infer([batch], share_inputs=True)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO {self.version} failed on a batch: {_last_line(error)}") from error
        finally:
            requests.put(request)
        return {name: np.asarray(results[name], np.float32) for name in self.output_shapes}

    def _open(self, images: int | None) -> Any:
        """The model compiled for `images` images, with a request that runs it.

        A graph of one shape spares what any shape asks for: an eighth of the time of one image, little of a batch's.
        """
        hint = _PRECISION_HINT[self.compute]
        options = {
            # Without the hint OpenVINO takes bf16 by itself where the CPU has it, also for an fp32 file.
            "INFERENCE_PRECISION_HINT": hint,
            "EXECUTION_MODE_HINT": "ACCURACY" if hint == "f32" else "PERFORMANCE",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.parallel,
        }
        try:
            model, images = self._compiled(images, options)
        except RuntimeError as error:
            reason = _last_line(error)
            raise ModelFileError(f"OpenVINO {self.version} cannot open {self._job.path}: {reason}") from error
        active = model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if active != hint:
            raise BackendError(f"OpenVINO was asked to compute in {hint} and computes in {active}: choose --compute")
        requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.parallel):
            requests.put(model.create_infer_request())
        self._requests[images] = requests
        return model

    def _compiled(self, images: int | None, options: dict[str, Any]) -> tuple[Any, int | None]:
        """The compiled model, kept from an earlier start where there is one, and what it was compiled for.

        OpenVINO's own cache is not used: its key lacks the arithmetic, and it does not notice damage.
        """
        kept = self._kept(images, options)
        if kept is not None:
            return kept, images
        model = self._core.read_model(str(self._job.path))
        shape = model.input(0).get_partial_shape()
        if images and not shape[0].is_dynamic:  # another tool's file, made for a number of its own
            return self._compiled(None, options)
        if images:
            model.reshape([images, *list(shape)[1:]])
        if self.compute == "bf16" and self._job.bf16_residual:
            keep_residual_in_bf16(model)
        compiled = self._core.compile_model(model, "CPU", options)
        if self._job.cache_key is not None:
            keep_compiled(self._cache_path(images), compiled.export_model().getvalue())
        return compiled, images

    def _kept(self, images: int | None, options: dict[str, Any]) -> Any:
        if self._job.cache_key is not None and (kept := load_compiled(self._cache_path(images))) is not None:
            with suppress(RuntimeError):  # of a build of OpenVINO that numbers itself alike: compile anew
                return self._core.import_model(BytesIO(kept), "CPU", options)
        return None

    def _cache_path(self, images: int | None) -> Path:
        shape = "any" if images is None else str(images)
        return compiled_path(NAME, self.version, f"{self._job.cache_key}", f"{self.compute}-{shape}")


def _engine() -> Any:
    try:
        import openvino
    except ModuleNotFoundError:
        raise MissingExtraError("openvino", "cpu") from None
    except ImportError as error:  # installed, but a library of the system is missing
        raise BackendError(f"openvino is installed and cannot be loaded: {_last_line(error)}") from error
    with _FIRST_USE:
        # Makes its table of dtypes, which it else makes within the first inference: two threads that do so at the same
        # time wait for each other for ever, one holding the table and one the interpreter.
        openvino.Type.f32.to_dtype()
    return openvino


def _version(openvino: Any) -> str:
    return str(openvino.__version__).split("-", 1)[0]


def _arithmetic(core: Any) -> Arithmetic:
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    supported = ("fp32", "bf16") if "BF16" in capabilities else ("fp32",)
    # OpenVINO lists BF16 on AVX-512 CPUs that only emulate it, more slowly than fp32: the instruction sets decide.
    in_hardware = "bf16" in supported and has_hardware_bf16() is True
    return Arithmetic(supported, "bf16" if in_hardware else "fp32")


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(-1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape())


def _last_line(error: Exception) -> str:
    """OpenVINO's errors end with the reason."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
