"""What ``doctor`` says of NVIDIA: driver, GPUs, and the libraries that engines need, each missing one with its cure."""

from __future__ import annotations

import ctypes
from dataclasses import asdict
from typing import Any

from .nvidia import Load, nvidia
from .nvidia_libraries import cuda_libraries, tensorrt_library


def nvidia_state(load: Load = ctypes.CDLL, folders: list[str] | None = None) -> dict[str, Any]:
    """Driver, GPUs and libraries, JSON-able.

    Args:
        load: opens a shared library.
        folders: of Python packages; by default `sys.path`.
    """
    library, bindings = tensorrt_library(load, folders)
    return asdict(nvidia(load)) | {
        "libraries": [asdict(found) for found in cuda_libraries(load, folders)],
        "tensorrt": asdict(library) | {"bindings": bindings},
    }


def nvidia_lines(found: dict[str, Any]) -> list[str]:
    """`nvidia_state`'s findings as text for a person; one sentence without a GPU, for which libraries are no use."""
    if found["problem"]:
        return [f"  {found['problem']}"]
    lines = [f"  driver            {found['driver'] or 'unknown'}, runs CUDA up to {found['cuda'] or 'unknown'}"]
    lines += [
        f"  GPU {number}             {gpu['name']}, compute capability {gpu['compute_capability']}, "
        f"{gpu['memory_mib'] / 1024:.1f} GiB"
        for number, gpu in enumerate(found["gpus"])
    ]
    if not found["libraries"]:
        lines.append("  CUDA, cuDNN       what ONNX Runtime needs of them is known once onnxruntime-gpu is installed")
    tensorrt = found["tensorrt"]
    lines += [_line(library) for library in (*found["libraries"], tensorrt)]
    bindings = tensorrt["bindings"]
    lines.append(f"  TensorRT, Python  {bindings or 'not installed: pip install tensorrt'}")
    return lines


def _line(library: dict[str, Any]) -> str:
    if library["cure"]:
        return f"  {library['name']:<17} missing: {library['cure']}"
    return f"  {library['name']:<17} {library['version'] or 'found'} ({library['where']})"
