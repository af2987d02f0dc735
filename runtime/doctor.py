"""What this machine can run, and why: for the person who wonders what `auto` would take."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from .backends import auto_choice, statuses
from .compute import choose_compute
from .home import home
from .install_command import install_command
from .machine import has_hardware_bf16, this_machine
from .nvidia_state import nvidia_lines, nvidia_state

_OPTIONAL = {"pyarrow": "parquet", "torch": "export", "timm": "export", "onnx": "export", "highdicom": "dicom"}
"""Beside the backends, which say themselves what is missing: distribution → extra."""
_PRECISIONS = {
    "cuda": ("fp32", "fp16"),
    "openvino": ("fp32", "fp16", "int8"),
    "onnxruntime": ("fp32", "fp16", "int8"),
    "ort-tensorrt": ("fp16",),
}
"""Of the files that each backend takes."""


def examine() -> dict[str, Any]:
    """Machine, backends, arithmetic, folders and installed extras, JSON-able."""
    found = statuses()
    choice, passed_over = auto_choice(found)
    backends = []
    for status in found:
        entry: dict[str, Any] = {"name": status.name, "version": status.version, "problem": status.problem}
        if status.arithmetic:
            entry["arithmetic"] = list(status.arithmetic.supported)
            for precision in _PRECISIONS[status.name]:
                entry[f"{precision}_file_computes_in"] = choose_compute(
                    status.name, status.arithmetic, precision=precision, requested=None
                )
        backends.append(entry)
    return {
        "radiodino": metadata.version("radiodino"),
        "python": f"{platform.python_version()} ({sys.executable})",
        "machine": asdict(this_machine()) | {"hardware_bf16": has_hardware_bf16()},
        "nvidia": nvidia_state(),
        "backends": backends,
        "auto": {"takes": choice, "passed_over": passed_over},
        "home": {"folder": str(home()), "bytes": _bytes_in(home())},
        "optional": {name: {"version": _version(name), "extra": extra} for name, extra in _OPTIONAL.items()},
    }


def describe(found: dict[str, Any]) -> str:
    """`examine`'s findings as text for a person."""
    machine = found["machine"]
    bf16 = {True: "in hardware", False: "not in hardware", None: "unknown"}[machine["hardware_bf16"]]
    lines = [
        f"radiodino {found['radiodino']}, Python {found['python']}",
        "",
        "Machine",
        f"  processor         {machine['processor']} ({machine['architecture']}), {machine['system']}",
        f"  usable cores      {machine['usable_cores']}",
        f"  memory            {machine['memory_gib'] or 'unknown'} GiB",
        f"  instruction sets  {' '.join(machine['instruction_sets']) or 'unknown'}",
        f"  bfloat16          {bf16}",
        "",
        "Backends (in the order in which auto tries them)",
    ]
    for backend in found["backends"]:
        if backend["problem"]:
            lines.append(f"  {backend['name']:<12} not usable: {backend['problem']}")
        else:
            lines.append(
                f"  {backend['name']:<12} {backend['version']:<10} {_of_files(backend)} "
                f"(--compute {'|'.join(backend['arithmetic'])})"
            )
    auto = found["auto"]
    lines.append(f"  auto takes   {auto['takes'] or 'nothing'}")
    lines += [f"               not {reason}" for reason in auto["passed_over"]]
    lines += ["", "NVIDIA", *nvidia_lines(found["nvidia"]), ""]
    folder = found["home"]
    lines += [
        "Folders",
        f"  RADIODINO_HOME  {folder['folder']} ({folder['bytes'] / 2**20:.1f} MiB)",
        "",
        "Optional packages",
    ]
    for name, entry in found["optional"].items():
        cure = install_command(entry["extra"])
        lines.append(f"  {name:<16} {entry['version'] or f'not installed ({cure})'}")
    return "\n".join(lines)


def _of_files(backend: dict[str, Any]) -> str:
    """What a backend computes each kind of file in."""
    words = []
    for precision in ("fp32", "fp16", "int8"):
        compute = backend.get(f"{precision}_file_computes_in")
        if compute is None:
            words.append(f"no {precision} file")
        elif precision == "int8":
            words.append(f"an int8 file in int8 and {compute}")
        else:
            words.append(f"an {precision} file in {compute}")
    first, *rest = words
    return ", ".join([first.replace(" in ", " computes in ", 1), *rest])


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
