"""The device that a network runs on, from ``--accelerator``."""

from __future__ import annotations

import torch

from radiodino.runtime.errors import BackendError, InputError

ACCELERATORS = ("auto", "cpu", "cuda")


def choose_device(accelerator: str) -> torch.device:
    """The device for `accelerator`; ``auto`` takes CUDA where PyTorch sees it, else the CPU.

    Raises:
        InputError: where there is no such accelerator.
        BackendError: where CUDA is asked for and PyTorch sees none.
    """
    if accelerator not in ACCELERATORS:
        raise InputError(f"there is no accelerator '{accelerator}': choose one of {', '.join(ACCELERATORS)}")
    available = torch.cuda.is_available()
    if accelerator == "cuda" and not available:
        raise BackendError(
            "cuda was asked for and PyTorch sees no CUDA device here: choose --accelerator cpu, or install a CUDA "
            "build of PyTorch and its driver"
        )
    return torch.device("cuda" if available and accelerator != "cpu" else "cpu")


def in_words(device: torch.device) -> str:
    """``cuda (NVIDIA …)`` or ``cpu (2 threads)``."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    count = torch.get_num_threads()
    return f"{device.type} ({count} thread{'s' if count > 1 else ''})"
