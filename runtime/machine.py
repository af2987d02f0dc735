"""What this machine is: its processor, instruction sets, cores and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_SHOWN_FLAGS = ("avx2", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile",
                "amx_bf16", "amx_int8", "amx_fp16", "asimd", "bf16", "i8mm", "sve")  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """One computer as the engines see it."""

    processor: str
    architecture: str
    system: str
    instruction_sets: tuple[str, ...]
    """Those that matter to inference, in the names of Linux's /proc/cpuinfo; empty where they cannot be read."""
    usable_cores: int
    memory_gib: float | None


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The machine this process runs on."""
    import platform

    info = _cpuinfo()
    flags = set(info.get("flags", info.get("features", "")).split())
    return Machine(
        processor=info.get("model name") or platform.processor() or "unknown",
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        instruction_sets=tuple(flag for flag in _SHOWN_FLAGS if flag in flags),
        usable_cores=usable_cores(),
        memory_gib=_memory_gib(),
    )


def has_hardware_bf16() -> bool | None:
    """Whether the processor multiplies bfloat16 itself; None where that cannot be read (outside Linux)."""
    sets = this_machine().instruction_sets
    return any(flag in sets for flag in ("avx512_bf16", "amx_bf16", "bf16")) if sets else None


def has_vnni() -> bool | None:
    """Whether an x86 processor adds products of bytes in 32 bits at once; None elsewhere and where unknown."""
    sets = this_machine().instruction_sets
    return any(flag in sets for flag in ("avx_vnni", "avx512_vnni", "amx_int8")) if "avx2" in sets else None


@lru_cache(maxsize=1)
def usable_cores() -> int:
    """Cores this process may use, at least 1.

    On Linux physical cores within its CPU affinity and its container's quota: hyper-threads share one core's
    multipliers, so two threads on one core only disturb each other. Elsewhere logical ones, as Python counts them.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not on this operating system
        return max(1, (os.cpu_count() or 1))
    cores = {_core_of(cpu) for cpu in allowed}
    quota = _cgroup_quota()
    return max(1, min(len(cores), quota) if quota else len(cores))


def _core_of(cpu: int) -> tuple[str, str]:
    topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        return (topology / "physical_package_id").read_text(), (topology / "core_id").read_text()
    except OSError:
        return "", str(cpu)


def _cgroup_quota() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
