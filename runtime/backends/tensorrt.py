"""TensorRT engines on an NVIDIA card, through TensorRT's own interface and CUDA: no PyTorch.

Reference: https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/index.html
"""

from __future__ import annotations

import weakref
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute import Arithmetic
from ..engine_file import EngineKey, engine_bytes, engine_info, refuse_elsewhere
from ..errors import BackendError, MissingExtraError, ModelFileError
from ..installed import installed_versions
from ..model_file import read_model_file
from ..nvidia import nvidia
from .cuda_calls import Cuda
from .protocol import Job, Outputs, Status

NAME, EXTRA = "tensorrt", "tensorrt"


def status() -> Status:
    """Whether engines can be built and run here, as far as it shows without opening one."""
    version = next(iter(installed_versions("tensorrt", "tensorrt-cu12", "tensorrt-cu13").values()), None)
    try:
        engine_key()
        Cuda()
    except (MissingExtraError, BackendError) as error:
        return Status(NAME, version, None, str(error))
    return Status(NAME, version, Arithmetic(("fp32", "fp16"), "fp16"))


def engine_key() -> EngineKey:
    """What an engine that is built on this machine holds for.

    Raises:
        MissingExtraError: TensorRT is not installed.
        BackendError: it cannot be loaded, or there is no card or driver.
    """
    found = nvidia()
    if not found.gpus:
        raise BackendError(f"TensorRT needs an NVIDIA card: {found.problem}")
    card = found.gpus[0]  # CUDA's first, which engines are built for and run on
    return EngineKey(
        tensorrt=str(tensorrt_module().__version__),
        device=card.name,
        compute_capability=card.compute_capability,
        driver=found.driver or f"for CUDA {found.cuda}",
    )


def tensorrt_module() -> Any:
    """The module ``tensorrt``.

    Raises:
        MissingExtraError: it is not installed.
        BackendError: it is installed and cannot be loaded.
    """
    try:
        import tensorrt
    except ModuleNotFoundError:
        raise MissingExtraError("tensorrt", EXTRA) from None
    except (ImportError, OSError, RuntimeError) as error:  # a library of the system is missing
        raise BackendError(f"tensorrt is installed and cannot be loaded: {error}") from error
    return tensorrt


def collecting_logger(trt: Any) -> Any:
    """A logger that keeps warnings and errors for the sentence that is said where a call fails.

    Its ``said`` holds the messages in their order.
    """

    class _Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.said.append(" ".join(msg.split()))

    return _Logger()


def why(logger: Any) -> str:
    """The first error that a `collecting_logger` was told, which names the cause; those after it follow from it."""
    return logger.said[0] if logger.said else "TensorRT gives no reason"


class _Prepared(NamedTuple):
    """What runs one number of images."""

    context: Any
    """Kept: the graph uses what it holds."""
    graph: Any


class TensorRTBackend:
    """An engine file, opened on the machine that it was built for.

    Inputs and outputs are copied through pinned memory on one stream; all memory is taken once, for as many images as
    the engine's profile allows. For each number of images that comes, copies and kernels are captured as a CUDA graph
    the first time and launched as one from then on. More images than the profile allows are run in parts, and what
    falls short of its least is filled up with zeros, whose answers are dropped; no image's answer depends on those
    beside it.

    Raises:
        MissingExtraError: TensorRT or cuda-python is not installed.
        BackendError: the card or another arithmetic than the engine's is not to be had, or a call failed.
        ModelFileError: the file is no engine, was built elsewhere or from another file, or cannot be read by TensorRT.
    """

    name = NAME
    threads = None
    parallel = 1
    takes_pixels = False

    def __init__(self, job: Job) -> None:
        info = engine_info(read_model_file(job.path))
        if info is None:
            raise ModelFileError(f"{job.path} is no engine: build one with  radiodino-export engine {job.path}")
        self._trt = tensorrt_module()
        refuse_elsewhere(job.path, info, engine_key())
        if job.compute not in (None, info.compute):
            raise BackendError(
                f"{job.path} was built to compute in {info.compute}, which is fixed in an engine: leave out --compute, "
                "or build one from a file of another precision"
            )
        self.version, self.compute, self._profile = info.key.tensorrt, info.compute, info.profile
        self._cuda = Cuda()
        self._close = weakref.finalize(self, self._cuda.close)
        self._running = Lock()
        self._prepared: dict[int, _Prepared] = {}
        try:
            self._open(job)
        except BaseException:
            self.close()
            raise

    def _open(self, job: Job) -> None:
        cuda, most = self._cuda, self._profile.most
        self._stream = cuda.stream()  # before TensorRT, whose errors without a working card say less
        self._logger = collecting_logger(self._trt)
        try:
            self._runtime = self._trt.Runtime(self._logger)
        except (RuntimeError, TypeError) as error:  # the second from the bindings, where the library gives nothing
            raise self._failed("Runtime") from error
        self._engine = self._runtime.deserialize_cuda_engine(engine_bytes(job.path))
        if self._engine is None:
            raise ModelFileError(
                f"TensorRT {self.version} cannot open {job.path}: {why(self._logger)}; build it anew with  "
                "radiodino-export engine"
            )
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        shapes = {name: tuple(self._engine.get_tensor_shape(name)) for name in names}
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT]
        strange = [name for name in names if self._engine.get_tensor_dtype(name) != self._trt.DataType.FLOAT]
        if len(inputs) != 1 or strange:
            raise ModelFileError(
                f"{job.path} has the inputs {', '.join(inputs)}, and {', '.join(strange) or 'none'} not in float32: "
                "expected one input and float32 everywhere; build it anew with  radiodino-export engine"
            )
        self._input = inputs[0]
        self.input_shape = shapes[self._input]
        self.output_shapes = {name: shape for name, shape in shapes.items() if name != self._input}
        self._host = {name: cuda.pinned((most, *shape[1:])) for name, shape in shapes.items()}
        self._device = {name: cuda.device_memory(values.nbytes) for name, values in self._host.items()}
        # Of all numbers of images together, of which one runs at a time.
        self._scratch_size = int(self._engine.device_memory_size_v2)
        self._scratch = cuda.device_memory(self._scratch_size)

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        """All outputs for `batch`, see `Backend.run`."""
        with self._running:
            if not self._close.alive:
                raise BackendError("this model's memory on the card was freed: load it again")
            most = self._profile.most
            parts = [self._run(batch[start : start + most]) for start in range(0, len(batch), most)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.output_shapes}

    def close(self) -> None:
        """Free the card's memory, at the latest when nothing refers to this backend any more."""
        self._close()

    def _run(self, batch: NDArray[np.float32 | np.uint8]) -> Outputs:
        images = max(len(batch), self._profile.least)
        values = self._host[self._input]
        values[: len(batch)] = batch
        values[len(batch) : images] = 0
        prepared = self._prepared.get(images)
        if prepared is None:
            # Not in a graph: TensorRT prepares for a shape with its first run.
            context = self._context(images)
            self._enqueue(context, images)
            self._cuda.call("cudaStreamSynchronize", self._stream)
            self._prepared[images] = _Prepared(context, self._captured(context, images))
        else:
            self._cuda.call("cudaGraphLaunch", prepared.graph, self._stream)
            self._cuda.call("cudaStreamSynchronize", self._stream)
        return {name: self._host[name][: len(batch)].copy() for name in self.output_shapes}

    def _context(self, images: int) -> Any:
        """An execution context for `images` images: a graph stays right only while its context keeps its shapes."""
        context = self._engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise self._failed("create_execution_context")
        context.set_device_memory(self._scratch, self._scratch_size)
        self._check("set_input_shape", context.set_input_shape(self._input, (images, *self.input_shape[1:])))
        for name, address in self._device.items():
            self._check("set_tensor_address", context.set_tensor_address(name, address))
        return context

    def _enqueue(self, context: Any, images: int) -> None:
        self._copy(self._input, images, to_device=True)
        self._check("execute_async_v3", context.execute_async_v3(self._stream))
        for name in self.output_shapes:
            self._copy(name, images, to_device=False)

    def _copy(self, name: str, images: int, *, to_device: bool) -> None:
        host, device = self._host[name], self._device[name]
        address, size = host.ctypes.data, host[:images].nbytes
        if to_device:
            self._cuda.copy(device, address, size, "HostToDevice", self._stream)
        else:
            self._cuda.copy(address, device, size, "DeviceToHost", self._stream)

    def _captured(self, context: Any, images: int) -> Any:
        self._cuda.begin_capture(self._stream)
        try:
            self._enqueue(context, images)
        except BackendError:
            self._cuda.abandon_capture(self._stream)
            raise
        return self._cuda.end_capture(self._stream)

    def _check(self, call: str, worked: bool) -> None:
        if not worked:
            raise self._failed(call)

    def _failed(self, call: str) -> BackendError:
        return BackendError(
            f"TensorRT {self.version} failed in {call}: {why(self._logger)}; check the card and its free memory with "
            "nvidia-smi, and start again"
        )
