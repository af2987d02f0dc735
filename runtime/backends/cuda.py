"""ONNX Runtime on an NVIDIA GPU: its CUDA provider, or its TensorRT provider before that.

Inputs and outputs are bound to buffers on the device that are kept for the next batch of that size. Where one image at
a time is prepared for, its operators are captured as a CUDA graph, so that they are launched at once. Where many are,
pixels cross the bus in 8 bits and are normalised on the device (`radiodino.runtime.backends.pixel_lookup`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, ModelFileError
from ..graph_edit import Array, graph_input
from ..widen import widen
from ..wire import bytes_field, varint_field
from .onnxruntime import (
    CUDA_NAME,
    TENSORRT_NAME,
    engine_for,
    mapped,
    opening,
    running,
    session,
    shape_of,
    status_of,
)
from .onnxruntime_graph import fused
from .pixel_lookup import PIXELS, VALUES, lookup_graph
from .protocol import Job, Outputs, Status
from .tensorrt_provider import provider_options

_KEPT = 2
"""Numbers of images whose buffers are kept: those of all batches but the last, and of the last."""
_GRAPH, _NO_GRAPH = "1", "-1"  # of the run option gpu_graph_id


class _Kind(NamedTuple):
    provider: str
    """That must be active."""
    device: str
    """Where the buffers are."""
    captures: bool
    """Whether it can capture a CUDA graph."""


_KINDS = {
    CUDA_NAME: _Kind("CUDAExecutionProvider", "cuda", True),
    TENSORRT_NAME: _Kind("TensorrtExecutionProvider", "cuda", False),
}


def status() -> Status:
    """Whether ONNX Runtime can be used through CUDA.

    Only opening a model shows whether CUDA, cuDNN and the driver really work; this tells what is installed.
    """
    return status_of(CUDA_NAME, "gpu")


def tensorrt_status() -> Status:
    """Whether ONNX Runtime can be used through TensorRT; as `status`."""
    return status_of(TENSORRT_NAME, "gpu")


class CudaBackend:
    """A model opened by ONNX Runtime on the first GPU that this process may use.

    Args:
        job: what to open.
        name: ``cuda`` or ``ort-tensorrt``.

    Raises:
        BackendError: ONNX Runtime for CUDA is not installed, or the provider or arithmetic asked for is not active.
        ModelFileError: ONNX Runtime cannot read the file.
    """

    threads = None
    parallel = 1

    def __init__(self, job: Job, name: str = CUDA_NAME) -> None:
        self.name, self._kind = name, _KINDS[name]
        self._engine, self.compute = engine_for(job, name, "gpu")
        self.version = str(self._engine.__version__)
        _find_libraries(self._engine)
        with opening(job, self.version):
            model, self._weights = _model(job, self.compute)
        self._captures = job.one_image and job.optimised and self._kind.captures
        try:
            self._session = self._open(job, model)
        except ModelFileError:
            if not self._captures:
                raise
            self._captures = False  # where part of a graph is computed on the CPU, none can be captured
            self._session = self._open(job, model)
        active = self._session.get_providers()[0]
        if active != self._kind.provider:
            raise BackendError(
                f"{self._kind.provider} was asked for and {active} is active: check the NVIDIA driver, CUDA and cuDNN "
                "with radiodino-run doctor, or choose --backend openvino or onnxruntime"
            )
        (entry,) = self._session.get_inputs()
        self._input_name, self.input_shape = entry.name, shape_of(entry)
        self.output_shapes = {port.name: shape_of(port) for port in self._session.get_outputs()}
        self._most = job.images if name == TENSORRT_NAME else None
        self._buffers: dict[int, _Buffers] = {}
        self._lookup: Any = None
        if job.levels is not None and not job.one_image:
            graph = lookup_graph(job.levels, *self.input_shape[2:])
            with opening(job, self.version):
                self._lookup = session(self._engine, graph, {}, self._engine.SessionOptions(), self._cuda(False))

    @property
    def takes_pixels(self) -> bool:
        """See `Backend.takes_pixels`."""
        return self._lookup is not None

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        """All outputs for `batch`, see `Backend.run`."""
        if self._most is None or len(batch) <= self._most:
            with running(self.version):
                return self._run(batch)
        parts = [self.run(batch[start : start + self._most]) for start in range(0, len(batch), self._most)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.output_shapes}

    def _run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        buffers = self._buffers_for(len(batch))
        if batch.dtype == np.uint8:
            buffers.look_up(batch)
        else:
            buffers.input.update_inplace(batch)
        options = self._engine.RunOptions()
        if self._captures:
            options.add_run_config_entry("gpu_graph_id", _GRAPH if len(batch) == 1 else _NO_GRAPH)
        self._session.run_with_iobinding(buffers.binding, options)
        return {name: np.array(value.numpy(), np.float32) for name, value in buffers.outputs.items()}

    def _buffers_for(self, images: int) -> _Buffers:
        found = self._buffers.pop(images, None)
        if found is None:
            # A captured graph writes where it was captured: the buffers of one image must stay.
            others = [size for size in self._buffers if not (self._captures and size == 1)]
            if len(others) >= _KEPT:
                del self._buffers[others[0]]
            found = self._new_buffers(images)
        self._buffers[images] = found  # the last to be dropped
        return found

    def _new_buffers(self, images: int) -> _Buffers:
        make = self._engine.OrtValue.ortvalue_from_shape_and_type
        kind = self._kind
        values = make([images, *self.input_shape[1:]], np.float32, kind.device)
        outputs = {
            name: make([images, *shape[1:]], np.float32, kind.device) for name, shape in self.output_shapes.items()
        }
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input_name, values)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        lookup, pixels = None, None
        if self._lookup is not None:
            pixels = make([images, *self.input_shape[1:]], np.uint8, kind.device)
            lookup = self._lookup.io_binding()
            lookup.bind_ortvalue_input(PIXELS, pixels)
            lookup.bind_ortvalue_output(VALUES, values)
        return _Buffers(values, outputs, binding, self._lookup, lookup, pixels)

    def _open(self, job: Job, model: str | bytes) -> Any:
        options = self._engine.SessionOptions()
        options.log_severity_level = 3
        if not job.optimised:
            options.graph_optimization_level = self._engine.GraphOptimizationLevel.ORT_DISABLE_ALL
        providers = self._cuda(self._captures)
        with opening(job, self.version):
            if self.name == TENSORRT_NAME:
                providers = [
                    (self._kind.provider, provider_options(job, self.version, *_one_image(job.path))),
                    *providers,
                ]
            return session(self._engine, model, self._weights, options, providers)

    def _cuda(self, captures: bool) -> list[tuple[str, dict[str, str]]]:
        options = {
            "use_tf32": "0",  # TF32 would silently drop 13 bits of an fp32 file's mantissa
            "enable_skip_layer_norm_strict_mode": "1",  # sums of norms in fp32
            "enable_cuda_graph": "1" if captures else "0",
        }
        return [(_KINDS[CUDA_NAME].provider, options)]


@dataclass(frozen=True, eq=False)
class _Buffers:
    """On the device, of one number of images."""

    input: Any
    outputs: dict[str, Any]
    binding: Any
    lookup: Any
    """The session that normalises, None where the host does."""
    lookup_binding: Any
    pixels: Any

    def look_up(self, batch: NDArray[np.float32 | np.uint8]) -> None:
        """Put into `input` what the pixels of `batch` become."""
        self.pixels.update_inplace(batch)
        self.lookup.run_with_iobinding(self.lookup_binding)
        self.lookup_binding.synchronize_outputs()  # the other session has a stream of its own


def problem() -> str | None:
    """Why CUDA is not active though ONNX Runtime for CUDA is installed, found by opening a graph of one operator."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.onnx"
        path.write_bytes(identity())
        try:
            CudaBackend(Job(path, precision="fp32", cache_key=None, compute=None, threads=None))
        except (BackendError, ModelFileError) as error:
            return str(error)
    return None


def identity() -> bytes:
    """The smallest ONNX model: one Identity of one float32 number."""
    shape = bytes_field(2, bytes_field(1, varint_field(1, 1)))
    kind = bytes_field(2, bytes_field(1, varint_field(1, 1) + shape))
    node = bytes_field(1, b"x") + bytes_field(2, b"y") + bytes_field(4, b"Identity")
    values = bytes_field(11, bytes_field(1, b"x") + kind) + bytes_field(12, bytes_field(1, b"y") + kind)
    graph = bytes_field(1, node) + bytes_field(2, b"identity") + values
    return varint_field(1, 8) + bytes_field(7, graph) + bytes_field(8, varint_field(2, 17))


def _model(job: Job, compute: str) -> tuple[str | bytes, dict[str, Array]]:
    """As on the CPU, but that attention and norms are fused in fp16 too."""
    if compute == "fp32" and job.precision == "fp16":
        widened = widen(memoryview(job.path.read_bytes()))
        return (fused(memoryview(widened), cuda=True) if job.optimised else None) or (widened, {})
    return (fused(mapped(job.path), cuda=True) if job.optimised else None) or (str(job.path), {})


def _one_image(path: Path) -> tuple[str, tuple[int, ...]]:
    """The name of the input of the graph in `path`, and its shape without the batch."""
    name, shape = graph_input(mapped(path))
    if len(shape) != 4 or min(shape[1:]) < 1:
        raise ModelFileError(f"{path} takes no images of a fixed size, but {shape}: export it again")
    return name, shape[1:]


def _find_libraries(engine: Any) -> None:
    """Let ONNX Runtime find CUDA and cuDNN where they were installed as Python packages, which the loader does not."""
    preload: Callable[[], None] | None = getattr(engine, "preload_dlls", None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it says there what opening a session will say better
            preload()
