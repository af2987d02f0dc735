"""NVIDIA's driver and GPUs, asked of the driver's own library: no PyTorch, no CUDA toolkit, no other process."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_CUDA = {"Windows": "nvcuda.dll"}.get(platform.system(), "libcuda.so.1")
_MANAGEMENT = {"Windows": "nvml.dll"}.get(platform.system(), "libnvidia-ml.so.1")
_MAJOR, _MINOR = 75, 76  # CUdevice_attribute
_NO_DEVICE = 100  # CUresult
_TEXT = 256

Load = Callable[[str], Any]
"""Opens a shared library by its name, as `ctypes.CDLL` does; OSError where it is not found."""


@dataclass(frozen=True)
class Gpu:
    """One GPU that this process may use."""

    name: str
    compute_capability: str
    """Such as ``9.0``."""
    memory_mib: int
    driver: str | None
    """Version of the driver, such as ``570.86.15``; None where it cannot be asked."""


@dataclass(frozen=True)
class Nvidia:
    """What the driver says."""

    driver: str | None
    """As in `Gpu`."""
    cuda: str | None
    """The newest CUDA that the driver runs, such as ``12.8``; None without a driver."""
    gpus: tuple[Gpu, ...]
    """In CUDA's order; ``CUDA_VISIBLE_DEVICES`` chooses among them."""
    problem: str | None
    """Why there are none, with the cure; None where there is one."""


def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that this process may use, none without a driver."""
    return nvidia().gpus


def driver_version() -> str | None:
    """Version of NVIDIA's driver, such as ``570.86.15``; None where there is none, or it cannot be asked."""
    return _driver_version(ctypes.CDLL)


def nvidia(load: Load = ctypes.CDLL) -> Nvidia:
    """The driver and its GPUs.

    Args:
        load: opens the driver's libraries.
    """
    driver = _driver_version(load)
    try:
        cuda = load(_CUDA)
    except OSError:
        cure = "install NVIDIA's driver where there is an NVIDIA GPU, and give a container the GPU (--gpus all)"
        return Nvidia(driver, None, (), f"no NVIDIA driver: {_CUDA} is not found; {cure}")
    number = ctypes.c_int()
    newest = _dotted(number.value) if cuda.cuDriverGetVersion(ctypes.byref(number)) == 0 else None
    status = cuda.cuInit(0)
    if status == 0:
        status = cuda.cuDeviceGetCount(ctypes.byref(number))
    if status not in (0, _NO_DEVICE):
        cure = "restart after an upgrade of the driver, and see that the kernel's module is of the same version"
        return Nvidia(driver, newest, (), f"the NVIDIA driver does not start ({_error(cuda, status)}): {cure}")
    count = 0 if status else number.value
    found = tuple(_gpu(cuda, index, driver) for index in range(count))
    problem = None if found else "the NVIDIA driver finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES"
    return Nvidia(driver, newest, found, problem)


def _gpu(cuda: Any, index: int, driver: str | None) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(_TEXT), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, _TEXT, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Gpu(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", memory.value >> 20, driver)


def _driver_version(load: Load) -> str | None:
    try:
        management = load(_MANAGEMENT)
    except OSError:  # as on a Jetson
        return None
    version = ctypes.create_string_buffer(_TEXT)
    if management.nvmlInit_v2() != 0:
        return None
    status = management.nvmlSystemGetDriverVersion(version, _TEXT)
    management.nvmlShutdown()
    return version.value.decode(errors="replace") if status == 0 else None


def _error(cuda: Any, status: int) -> str:
    name = ctypes.c_char_p()
    cuda.cuGetErrorName(status, ctypes.byref(name))
    return f"CUDA error {status}" + (f", {name.value.decode(errors='replace')}" if name.value else "")


def _dotted(version: int) -> str:
    """12080 → 12.8."""
    return f"{version // 1000}.{version % 1000 // 10}"
