"""CUDA's runtime library through ``cuda-python``: each call checked, each thing that it makes freed.

Reference: https://nvidia.github.io/cuda-python/cuda-bindings/latest/module/runtime.html
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, MissingExtraError


class Cuda:
    """The calls, and all that was made with them.

    Raises:
        MissingExtraError: ``cuda-python`` is not installed.
        BackendError: it cannot be loaded, or there is no card or driver.
    """

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ModuleNotFoundError:
            raise MissingExtraError("cuda-python", "tensorrt") from None
        except (ImportError, RuntimeError) as error:
            raise BackendError(f"cuda-python is installed and cannot be loaded: {error}") from error
        self.api: Any = runtime
        self._made = ExitStack()

    def call(self, name: str, *arguments: Any) -> Any:
        """What the function `name` returns beside its error code.

        Raises:
            BackendError: the call failed, or the driver's library is not there.
        """
        try:
            code, *results = getattr(self.api, name)(*arguments)
        except RuntimeError as error:  # older cuda-python, where there is no libcuda
            raise BackendError(
                f"CUDA cannot be used: {error}; check the NVIDIA driver with radiodino-run doctor"
            ) from None
        if code != self.api.cudaError_t.cudaSuccess:
            raise BackendError(
                f"CUDA failed in {name} with {code.name}: check the card and its free memory with nvidia-smi and "
                "radiodino-run doctor, and start again"
            )
        return results[0] if results else None

    def stream(self) -> int:
        """A stream of its own, which waits for no other: a graph cannot be captured from the default stream."""
        made = self.call("cudaStreamCreateWithFlags", self.api.cudaStreamNonBlocking)
        self._freed_by("cudaStreamDestroy", made)
        return int(made)

    def device_memory(self, size: int) -> int:
        """The address of `size` bytes on the card."""
        made = self.call("cudaMalloc", max(size, 1))
        self._freed_by("cudaFree", made)
        return int(made)

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A float32 array in memory that is never paged out, so that the card copies it by itself."""
        count = int(np.prod(shape))
        made = self.call("cudaMallocHost", 4 * count)
        self._freed_by("cudaFreeHost", made)
        values = (ctypes.c_float * count).from_address(int(made))
        array: NDArray[np.float32] = np.ctypeslib.as_array(values).reshape(shape)
        return array

    def copy(self, target: int, source: int, size: int, kind: str, stream: int) -> None:
        """Enqueue a copy of `size` bytes; `kind` is ``HostToDevice`` or ``DeviceToHost``."""
        self.call(
            "cudaMemcpyAsync", target, source, size, getattr(self.api.cudaMemcpyKind, f"cudaMemcpy{kind}"), stream
        )

    def begin_capture(self, stream: int) -> None:
        """From here on `stream` notes what is enqueued and does not do it."""
        # Of this thread alone: what other threads of the process do on the card must not end it.
        mode = self.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", stream, mode)

    def abandon_capture(self, stream: int) -> None:
        """End a capture that failed, so that `stream` can be used and freed again; what was noted is dropped."""
        code, graph = self.api.cudaStreamEndCapture(stream)
        if code == self.api.cudaError_t.cudaSuccess:
            self.api.cudaGraphDestroy(graph)

    def end_capture(self, stream: int) -> Any:
        """The graph of what was noted, ready to be launched."""
        graph = self.call("cudaStreamEndCapture", stream)
        try:
            ready = self.call("cudaGraphInstantiate", graph, 0)
        finally:
            self.api.cudaGraphDestroy(graph)
        self._freed_by("cudaGraphExecDestroy", ready)
        return ready

    def close(self) -> None:
        """Free all, the last made first; further calls do nothing."""
        self._made.close()

    def _freed_by(self, name: str, made: Any) -> None:
        # Its error code is of no use: nothing is left to do, and an error before it must stay the one that is said.
        self._made.callback(getattr(self.api, name), made)
