"""How ONNX Runtime's TensorRT provider is told to build an engine, and where it keeps what it built.

Building takes minutes, so that engine and timings are kept in `RADIODINO_HOME`. ONNX Runtime's own names for them tell
the graph and the compute capability alone; the folder's name tells file, arithmetic, versions, GPU and driver.
Options: https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..home import home
from ..nvidia import Load, nvidia
from ..nvidia_libraries import tensorrt_library
from .protocol import Job

_FOLDER = "ort-tensorrt"


def provider_options(
    job: Job, version: str, entry: str, shape: Sequence[int], load: Load | None = None
) -> dict[str, str]:
    """The options of ``TensorrtExecutionProvider``.

    Args:
        job: what is opened, an fp16 file.
        version: of ONNX Runtime.
        entry: name of the graph's input.
        shape: of one image, (3, height, width).
        load: opens a shared library; None as `ctypes.CDLL` does.
    """
    sizes = {"min": 1, "opt": job.images, "max": job.images}
    options = {"trt_fp16_enable": "1", "trt_layer_norm_fp32_fallback": "1"}
    for which, images in sizes.items():
        options[f"trt_profile_{which}_shapes"] = f"{entry}:{'x'.join(map(str, (images, *shape)))}"
    if job.cache_key is None:
        return options
    folder = str(cache_folder(job, version, load))
    return options | {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
    }


def cache_folder(job: Job, version: str, load: Load | None = None) -> Path:
    """Where the engine of `job` is kept: another for whatever it would not fit.

    Args:
        job: see above.
        version: of ONNX Runtime.
        load: see above.
    """
    arguments = () if load is None else (load,)
    found = nvidia(*arguments)
    library, _ = tensorrt_library(*arguments)
    fits = (version, library.version, found.gpus[:1], job.images)
    return home() / _FOLDER / f"{job.cache_key}"[:24] / hashlib.sha256(repr(fits).encode()).hexdigest()[:16]
