"""Which machines are alike enough that an engine gains the same over the PyTorch original on all of them."""

from __future__ import annotations

from radiodino.runtime.machine import Machine

CLASSES: dict[str, tuple[str, ...]] = {
    "amx-bf16": ("amx_bf16",),
    "avx512-bf16": ("avx512_bf16",),
    "avx512-vnni": ("avx512_vnni",),
    "avx512": ("avx512f",),
    "avx2-vnni": ("avx2", "avx_vnni"),
    "avx2": ("avx2",),
    "neon-bf16": ("asimd", "bf16", "i8mm"),
    "neon": ("asimd",),
}
"""Instruction sets that a class has, in the names of `Machine.instruction_sets`; the first that fits is taken. They are
those for which engines have other kernels, or another arithmetic: bf16, int8 dot products, width."""


def machine_class(machine: Machine, isa: str | None) -> str:
    """The class of `machine`.

    A processor whose instruction sets cannot be read (outside Linux) or fit none is a class of its own. One that is
    limited to an older CPU's is told from one that is such a CPU, for not all engines know the limit.

    Args:
        machine: see there.
        isa: the limit, of `radiodino.benchmarks.bench.isa.LIMITS`; None is none.
    """
    own = set(machine.instruction_sets)
    fitting = (name for name, sets in CLASSES.items() if own.issuperset(sets))
    name = next(fitting, f"{machine.processor} ({machine.architecture})")
    return name if isa is None else f"{name} limited to {isa}"
