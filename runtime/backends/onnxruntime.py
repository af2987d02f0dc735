"""ONNX Runtime on the CPU, and what its backends on a GPU (`radiodino.runtime.backends.cuda`) do alike."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute import Arithmetic, choose_compute
from ..errors import BackendError, MissingExtraError, ModelFileError
from ..graph_edit import Array
from ..install_command import install_command
from ..installed import installed_versions
from ..machine import usable_cores
from ..widen import widen
from .onnxruntime_graph import fused
from .protocol import Job, Outputs, Status

CPU_NAME, CUDA_NAME, TENSORRT_NAME = "onnxruntime", "cuda", "ort-tensorrt"
_PROVIDER = "CPUExecutionProvider"
_ARITHMETIC = {
    # fp16 on the CPU keeps the file's casts and rounds every value to half: slow, for judging a file without a GPU.
    CPU_NAME: Arithmetic(("fp32", "fp16"), "fp32"),
    CUDA_NAME: Arithmetic(("fp32", "fp16"), "fp16"),
    # TensorRT would compute fp32 in TF32, which drops 13 bits of a mantissa, and this provider has no switch for it.
    TENSORRT_NAME: Arithmetic(("fp16",), "fp16"),
}


class OnnxRuntimeBackend:
    """A model opened by ONNX Runtime on the CPU.

    Raises:
        BackendError: ONNX Runtime is not installed, or the arithmetic asked for is not active.
        ModelFileError: ONNX Runtime cannot read the file.
    """

    name = CPU_NAME
    takes_pixels = False

    def __init__(self, job: Job) -> None:
        engine, self.compute = engine_for(job, CPU_NAME)
        self.version = str(engine.__version__)
        self.threads = job.threads or usable_cores()
        self.parallel = min(job.parallel, self.threads)
        options = engine.SessionOptions()
        options.log_severity_level = 4
        if not job.optimised or self.compute == "fp16":
            # Optimised, ONNX Runtime drops the roundings between fp16 operators, which are what is to be judged.
            options.graph_optimization_level = engine.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = self.threads - self.parallel + 1  # with that which calls `run`
        options.inter_op_num_threads = 1
        if job.one_image:
            # Work handed out in pieces, so that no thread waits for a slower one: a twentieth less time for one
            # image of tiny, while the pieces of many images are large enough to cost more than they gain.
            options.add_session_config_entry("session.dynamic_block_base", "4")
        with opening(job, self.version):
            model, self._weights = _model(job, self.compute)
            self._session = session(engine, model, self._weights, options, [_PROVIDER])
        self.input_shape = shape_of(self._session.get_inputs()[0])
        self.output_shapes = {port.name: shape_of(port) for port in self._session.get_outputs()}
        self._input_name = self._session.get_inputs()[0].name

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        """All outputs for `batch`, see `Backend.run`."""
        names = list(self.output_shapes)
        with running(self.version):
            results = self._session.run(names, {self._input_name: batch})
        return {name: np.asarray(values, np.float32) for name, values in zip(names, results, strict=True)}


def status() -> Status:
    """Whether ONNX Runtime can be used on the CPU."""
    return status_of(CPU_NAME, "cpu")


def engine_for(job: Job, name: str, extra: str = "cpu") -> tuple[Any, str]:
    """The module ``onnxruntime``, and the arithmetic that `job` is computed in by the backend `name`.

    Raises:
        BackendError: it cannot be used, or not in the arithmetic asked for.
    """
    found = status_of(name, extra)
    if found.arithmetic is None:
        raise BackendError(f"backend '{name}' cannot be used: {found.problem}")
    try:
        import onnxruntime
    except ImportError as error:  # installed, but a library of the system is missing
        raise BackendError(f"onnxruntime is installed and cannot be loaded: {first_line(error)}") from error
    return onnxruntime, choose_compute(name, found.arithmetic, precision=job.precision, requested=job.compute)


def session(engine: Any, model: str | bytes, weights: dict[str, Array], options: Any, providers: list[Any]) -> Any:
    """An inference session without fall-back.

    Args:
        engine: the module ``onnxruntime``.
        model: path or bytes.
        weights: those that `model` names alone. The session computes with them where they lie: they must live as long
            as it.
        options: for it.
        providers: in the order of preference.
    """
    shared = [engine.OrtValue.ortvalue_from_numpy(values) for values in weights.values()]
    options.add_external_initializers(list(weights), shared)
    opened = engine.InferenceSession(model, options, providers=providers)
    opened.disable_fallback()
    return opened


@contextmanager
def opening(job: Job, version: str) -> Iterator[None]:
    """What goes wrong inside is the file's fault."""
    try:
        yield
    except Exception as error:  # the engine's exceptions share no base class
        raise ModelFileError(f"ONNX Runtime {version} cannot open {job.path}: {first_line(error)}") from error


@contextmanager
def running(version: str) -> Iterator[None]:
    """What goes wrong inside is the engine's fault."""
    try:
        yield
    except Exception as error:  # as above
        raise BackendError(f"ONNX Runtime {version} failed on a batch: {first_line(error)}") from error


def refuse_both_installed() -> None:
    """Refuse an installation in which the CPU and the GPU build have overwritten each other's files.

    Raises:
        BackendError: naming the cure.
    """
    if len(_installed()) > 1:
        raise BackendError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: run  pip uninstall -y "
            f"onnxruntime onnxruntime-gpu  and then  {install_command('cpu')}  or, for a GPU,  {install_command('gpu')}"
        )


def status_of(name: str, extra: str) -> Status:
    """Whether the backend `name`, which the extra `extra` brings, is installed."""
    installed = _installed()
    version = next(iter(installed.values()), None)
    try:
        refuse_both_installed()
    except BackendError as error:
        return Status(name, version, None, str(error))
    if not installed:
        return Status(name, None, None, str(MissingExtraError("onnxruntime", extra)))
    if extra == "gpu" and "onnxruntime-gpu" not in installed:
        cure = f"on a machine with an NVIDIA GPU run  pip uninstall -y onnxruntime && {install_command('gpu')}"
        return Status(name, None, None, f"onnxruntime-gpu is not installed: {cure}")
    return Status(name, version, _ARITHMETIC[name])


def _installed() -> dict[str, str]:
    """The installed distributions that bring the module ``onnxruntime``, with their versions.

    Importing the engine only to learn that would cost a cold start 0.1 s.
    """
    return installed_versions("onnxruntime", "onnxruntime-gpu")


def _model(job: Job, compute: str) -> tuple[str | bytes, dict[str, Array]]:
    """What ONNX Runtime opens, the file itself where it can, and the weights that are handed over beside it."""
    if compute == "fp32" and job.precision == "fp16":
        widened = widen(memoryview(job.path.read_bytes()))
        return (fused(memoryview(widened)) if job.optimised else None) or (widened, {})
    return (fused(mapped(job.path)) if job.optimised and compute == "fp32" else None) or (str(job.path), {})


def mapped(path: Path) -> memoryview:
    """The bytes of a file, read as they are needed."""
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def shape_of(port: Any) -> tuple[int, ...]:
    """The shape of an input or output; -1 is a size that is not fixed."""
    return tuple(size if isinstance(size, int) else -1 for size in port.shape)


def first_line(error: Exception) -> str:
    """ONNX Runtime's errors begin with the reason."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
