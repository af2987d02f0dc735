"""ONNX Runtime, on the CPU or through CUDA, with the provider that was asked for or none."""

from __future__ import annotations

import mmap
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
from ..wire import bytes_field, varint_field
from .onnxruntime_graph import fused
from .protocol import Job, Outputs, Status

CPU_NAME, CUDA_NAME = "onnxruntime", "cuda"
_PROVIDER = {CPU_NAME: "CPUExecutionProvider", CUDA_NAME: "CUDAExecutionProvider"}
_EXTRA = {CPU_NAME: "cpu", CUDA_NAME: "gpu"}
_ARITHMETIC = {
    # fp16 on the CPU keeps the file's casts and rounds every value to half: slow, for judging a file without a GPU.
    CPU_NAME: Arithmetic(("fp32", "fp16"), "fp32"),
    CUDA_NAME: Arithmetic(("fp32", "fp16"), "fp16"),
}


def cpu_status() -> Status:
    """Whether ONNX Runtime can be used on the CPU."""
    return _status(CPU_NAME)


def cuda_status() -> Status:
    """Whether ONNX Runtime can be used through CUDA.

    Only opening a model shows whether CUDA, cuDNN and the driver really work; this tells what is installed.
    """
    return _status(CUDA_NAME)


class OnnxRuntimeBackend:
    """A model opened by ONNX Runtime.

    Args:
        job: what to open.
        name: ``onnxruntime`` (CPU) or ``cuda``.

    Raises:
        BackendError: ONNX Runtime is not installed, or the provider or arithmetic asked for is not active.
        ModelFileError: ONNX Runtime cannot read the file.
    """

    def __init__(self, job: Job, name: str = CPU_NAME) -> None:
        found = _status(name)
        if found.arithmetic is None:
            raise BackendError(f"backend '{name}' cannot be used: {found.problem}")
        try:
            import onnxruntime
        except ImportError as error:  # installed, but a library of the system is missing
            raise BackendError(f"onnxruntime is installed and cannot be loaded: {_first_line(error)}") from error

        self.name, self.version = name, str(onnxruntime.__version__)
        self.compute = choose_compute(name, found.arithmetic, precision=job.precision, requested=job.compute)
        self.threads = (job.threads or usable_cores()) if name == CPU_NAME else None
        self.parallel = min(job.parallel, self.threads or 1)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4 if name == CPU_NAME else 3
        if not job.optimised or (name == CPU_NAME and self.compute == "fp16"):
            # Optimised, ONNX Runtime drops the roundings between fp16 operators, which are what is to be judged.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if self.threads:
            options.intra_op_num_threads = self.threads - self.parallel + 1  # with that which calls `run`
            options.inter_op_num_threads = 1
            if job.one_image:
                # Work handed out in pieces, so that no thread waits for a slower one: a twentieth less time for one
                # image of tiny, while the pieces of many images are large enough to cost more than they gain.
                options.add_session_config_entry("session.dynamic_block_base", "4")
        # TF32 would silently drop 13 bits of an fp32 file's mantissa.
        provider = (_PROVIDER[name], {"use_tf32": "0"}) if name == CUDA_NAME else _PROVIDER[name]
        try:
            model, self._weights = _model(job, self.compute, fuse=name == CPU_NAME and job.optimised)
            # The session computes with the weights where they lie: they must live as long as it.
            shared = [onnxruntime.OrtValue.ortvalue_from_numpy(values) for values in self._weights.values()]
            options.add_external_initializers(list(self._weights), shared)
            self._session = onnxruntime.InferenceSession(model, options, providers=[provider])
        except Exception as error:  # the engine's exceptions share no base class
            raise ModelFileError(f"ONNX Runtime {self.version} cannot open {job.path}: {_first_line(error)}") from error
        self._session.disable_fallback()
        active = self._session.get_providers()[0]
        if active != _PROVIDER[name]:
            raise BackendError(
                f"{_PROVIDER[name]} was asked for and {active} is active: check the NVIDIA driver, CUDA and cuDNN with "
                "radiodino-run doctor, or choose --backend openvino or onnxruntime"
            )
        self.input_shape = _shape(self._session.get_inputs()[0])
        self.output_shapes = {port.name: _shape(port) for port in self._session.get_outputs()}
        self._input_name = self._session.get_inputs()[0].name

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """All outputs for `batch`, see `Backend.run`."""
        names = list(self.output_shapes)
        try:
            results = self._session.run(names, {self._input_name: batch})
        except Exception as error:  # as above
            raise BackendError(f"ONNX Runtime {self.version} failed on a batch: {_first_line(error)}") from error
        return {name: np.asarray(values, np.float32) for name, values in zip(names, results, strict=True)}


def cuda_problem() -> str | None:
    """Why CUDA is not active though ONNX Runtime for CUDA is installed, found by opening a graph of one operator."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.onnx"
        path.write_bytes(_identity())
        try:
            OnnxRuntimeBackend(Job(path, precision="fp32", cache_key=None, compute=None, threads=None), CUDA_NAME)
        except (BackendError, ModelFileError) as error:
            return str(error)
    return None


def _identity() -> bytes:
    """The smallest ONNX model: one Identity of one float32 number."""
    shape = bytes_field(2, bytes_field(1, varint_field(1, 1)))
    kind = bytes_field(2, bytes_field(1, varint_field(1, 1) + shape))
    node = bytes_field(1, b"x") + bytes_field(2, b"y") + bytes_field(4, b"Identity")
    values = bytes_field(11, bytes_field(1, b"x") + kind) + bytes_field(12, bytes_field(1, b"y") + kind)
    graph = bytes_field(1, node) + bytes_field(2, b"identity") + values
    return varint_field(1, 8) + bytes_field(7, graph) + bytes_field(8, varint_field(2, 17))


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


def _status(name: str) -> Status:
    installed = _installed()
    version = next(iter(installed.values()), None)
    try:
        refuse_both_installed()
    except BackendError as error:
        return Status(name, version, None, str(error))
    if not installed:
        return Status(name, None, None, str(MissingExtraError("onnxruntime", _EXTRA[name])))
    if name == CUDA_NAME and "onnxruntime-gpu" not in installed:
        cure = f"on a machine with an NVIDIA GPU run  pip uninstall -y onnxruntime && {install_command('gpu')}"
        return Status(name, None, None, f"onnxruntime-gpu is not installed: {cure}")
    return Status(name, version, _ARITHMETIC[name])


def _installed() -> dict[str, str]:
    """The installed distributions that bring the module ``onnxruntime``, with their versions.

    Importing the engine only to learn that would cost a cold start 0.1 s.
    """
    return installed_versions("onnxruntime", "onnxruntime-gpu")


def _model(job: Job, compute: str, *, fuse: bool) -> tuple[str | bytes, dict[str, Array]]:
    """What ONNX Runtime opens, the file itself where it can, and the weights that are handed over beside it."""
    model: bytes | memoryview | None = None
    if job.precision == "fp16" and compute == "fp32":
        model = widen(memoryview(job.path.read_bytes()))
    elif fuse and compute == "fp32":
        with job.path.open("rb") as stream:
            model = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    found = fused(memoryview(model)) if fuse and model else None
    if found:
        return found
    return (model if isinstance(model, bytes) else str(job.path)), {}


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in port.shape)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
