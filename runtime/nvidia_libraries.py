"""The libraries of NVIDIA that engines need beside the driver: which are there, in which version, and the cure.

What the installed ONNX Runtime for CUDA needs is read from its own provider, as every release wants others.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .elf import needed_libraries
from .installed import installed_versions
from .nvidia import Load

_PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
_NVIDIA = re.compile(r"lib(cublas|cublasLt|cudart|cudnn|cufft|curand|nvrtc|nvJitLink)\.so\.(\d+)")
_PACKAGES = {"cublas": "cublas", "cublasLt": "cublas", "cudart": "cuda-runtime", "cudnn": "cudnn", "cufft": "cufft",
             "curand": "curand", "nvrtc": "cuda-nvrtc", "nvJitLink": "nvjitlink"}  # fmt: skip
_TENSORRT = ("libnvinfer.so.11", "libnvinfer.so.10")
_BINDINGS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-bindings")


@dataclass(frozen=True)
class Library:
    """One shared library."""

    name: str
    """Such as ``libcudnn.so.9``."""
    version: str | None
    """None where it has no such call, or is not there."""
    where: str | None
    """``system`` where the loader finds it, else the folder of Python packages; None where it is missing."""
    cure: str | None
    """Where it is missing."""


def cuda_libraries(load: Load = ctypes.CDLL, folders: list[str] | None = None) -> tuple[Library, ...]:
    """What the installed ONNX Runtime for CUDA needs; empty without it, or where that cannot be read.

    Args:
        load: opens a shared library.
        folders: of Python packages; by default `sys.path`.
    """
    folders = sys.path if folders is None else folders
    provider = next((path for folder in folders if (path := Path(folder, _PROVIDER)).is_file()), None)
    try:
        needed = needed_libraries(provider) if provider else ()
    except (OSError, ValueError):
        return ()
    wanted = [(name, found) for name in needed if (found := _NVIDIA.fullmatch(name))]
    cuda = next((match[2] for _, match in wanted if match[1] == "cudart"), "12")
    return tuple(_library(name, match[1], cuda, load, folders) for name, match in wanted)


def tensorrt_library(load: Load = ctypes.CDLL, folders: list[str] | None = None) -> tuple[Library, str | None]:
    """TensorRT's library, and the version of its Python bindings, None where they are not installed.

    Args:
        load: opens a shared library.
        folders: of Python packages; by default `sys.path`.
    """
    bindings = next(iter(installed_versions(*_BINDINGS).values()), None)
    folders = sys.path if folders is None else folders
    for name in _TENSORRT:
        found = _open(name, load, folders)
        if found:
            return Library(name, _VERSIONS["nvinfer"](found[0]), found[1], None), bindings
    cure = "install TensorRT's library:  pip install tensorrt  brings it, or NVIDIA's packages for this system"
    return Library(_TENSORRT[-1], None, None, cure), bindings


def _library(name: str, kind: str, cuda: str, load: Load, folders: list[str]) -> Library:
    found = _open(name, load, folders)
    if not found:
        package = f"nvidia-{_PACKAGES[kind]}-cu{cuda}"
        return Library(name, None, None, f"pip install {package}, or NVIDIA's package for this system")
    version = _VERSIONS.get(kind)
    return Library(name, version(found[0]) if version else None, found[1], None)


def _open(name: str, load: Load, folders: list[str]) -> tuple[Any, str] | None:
    """The library `name` and where it was found: by the system's loader, or in NVIDIA's Python packages."""
    for path in (name, *(str(path) for folder in folders for path in sorted(_in_packages(folder, name)))):
        try:
            return load(path), "system" if path == name else str(Path(path).parent)
        except OSError:
            continue
    return None


def _in_packages(folder: str, name: str) -> list[Path]:
    root = Path(folder or ".")
    return [path for pattern in ("nvidia/*/lib", "tensorrt_libs") for path in root.glob(f"{pattern}/{name}")]


def _runtime_version(library: Any) -> str | None:
    number = ctypes.c_int()
    if library.cudaRuntimeGetVersion(ctypes.byref(number)) != 0:
        return None
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def _cudnn_version(library: Any) -> str:
    library.cudnnGetVersion.restype = ctypes.c_size_t
    number = int(library.cudnnGetVersion())
    large, middle = (10000, 100) if number >= 90000 else (1000, 100)  # 90100 is 9.1.0, 8907 is 8.9.7
    return f"{number // large}.{number % large // middle}.{number % middle}"


def _tensorrt_version(library: Any) -> str:
    number = int(library.getInferLibVersion())
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"


_VERSIONS: dict[str, Callable[[Any], str | None]] = {
    "cudart": _runtime_version,
    "cudnn": _cudnn_version,
    "nvinfer": _tensorrt_version,
}
