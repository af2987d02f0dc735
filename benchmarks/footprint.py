"""Installed size of what a workstation needs, beside what the PyTorch original needs.

    python -m radiodino.benchmarks.footprint

Sums the files of each distribution and of all that it requires, as installed in this environment.
"""

from __future__ import annotations

import re
from importlib import metadata

from rich.table import Table

from .print_table import print_table

_SETS = {
    "runtime, onnxruntime": ["radiodino", "onnxruntime"],
    "runtime, openvino": ["radiodino", "openvino"],
    "runtime, both": ["radiodino", "onnxruntime", "openvino"],
    "torch + timm": ["torch", "timm", "pillow"],
}


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """The installed distributions `names` and everything they require without extras, by normalised name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # required on another platform or Python only
        waiting += [re.split(r"[ ;<>=!~\[(]", text, maxsplit=1)[0] for text in _needed(found[name])]
    return found


def _needed(distribution: metadata.Distribution) -> list[str]:
    texts = distribution.requires or []
    needed = [text for text in texts if "extra ==" not in text]
    # torch brings its CUDA libraries through an extra of one of its requirements.
    extras = {match for text in needed for match in re.findall(r"^([\w.-]+)\[", text)}
    for name in extras:
        for text in _requires(name):
            if "extra ==" in text:
                needed.append(text)
    return needed


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


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
