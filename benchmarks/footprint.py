"""Installed size of what a workstation needs, beside what the PyTorch original needs.

    python -m radiodino.benchmarks.footprint

Sums the files of each distribution and of all that it requires, as installed in this environment.
"""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.table import Table

from .print_table import print_table

_SETS = {
    "runtime, onnxruntime": ["radiodino", "onnxruntime"],
    "runtime, openvino": ["radiodino", "openvino"],
    "runtime, both": ["radiodino", "onnxruntime", "openvino"],
    "torch + timm": ["torch", "timm", "pillow"],
}


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """The installed distributions `names` and everything they require, by normalised name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = metadata.distribution(name)
        for text in found[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append(needed)
    return found


def size(distribution: metadata.Distribution) -> int:
    """Bytes of all files of one installed distribution."""
    paths = (distribution.locate_file(file) for file in distribution.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file())  # type: ignore[attr-defined]


def main() -> None:
    """Print the table."""
    table = Table("", "distributions", "MB", "× less disk")
    totals = {name: sum(size(found) for found in closure(roots).values()) for name, roots in _SETS.items()}
    for name, total in totals.items():
        count = len(closure(_SETS[name]))
        table.add_row(name, str(count), f"{total / 1e6:.0f}", f"{totals['torch + timm'] / total:.1f}")
    print_table(table)


if __name__ == "__main__":
    main()
