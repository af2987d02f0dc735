"""Run an ONNX graph that is still in the making, with the engines of the runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.backends import open_backend, statuses
from radiodino.runtime.backends.protocol import Backend, Job, Status
from radiodino.runtime.errors import BackendError
from radiodino.runtime.install_command import install_command

if TYPE_CHECKING:  # an engine for a card is built where neither this nor PyTorch is installed
    import onnx

CPU_BACKENDS = ("openvino", "onnxruntime")


def cpu_backends() -> list[Status]:
    """The CPU backends that work here.

    Raises:
        BackendError: where there is none, so that nothing could be verified.
    """
    found = [status for status in statuses() if status.name in CPU_BACKENDS and status.arithmetic]
    if not found:
        raise BackendError(
            "an export is verified before it is written, and no engine is installed: run  " + install_command("cpu")
        )
    return found


def open_graph(
    model: onnx.ModelProto,
    backend: str,
    compute: str = "fp32",
    precision: str = "fp32",
    *,
    optimised: bool = True,
    bf16_residual: bool = False,
) -> Backend:
    """Open `model` with `backend` in `compute` arithmetic; nothing stays on disk. See `Job` for the rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        path.write_bytes(model.SerializeToString())
        job = Job(
            path,
            precision=precision,
            cache_key=None,
            compute=compute,
            threads=None,
            optimised=optimised,
            bf16_residual=bf16_residual,
        )
        return open_backend(job, backend)


def with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of `model` that also returns the inner tensors `names`."""
    import onnx

    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    known = {value.name: value for value in model.graph.value_info}
    present = {value.name for value in model.graph.output}
    extended.graph.output.extend(known[name] for name in names if name not in present)
    return extended


Batch = NDArray[np.float32]
