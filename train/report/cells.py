"""Numbers as tables show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .finetune_document import Mean

NO_NUMBER = "–"
"""As in the paper, where there is none."""


def percent(value: float | None, absent: str = "undefined") -> str:
    """A fraction in per cent, with two decimals as in the paper."""
    return absent if value is None else f"{100 * value:.2f}"


def mean_percent(found: Mean | None) -> str:
    """A mean in per cent, with its standard deviation where there is one."""
    if found is None:
        return "undefined"
    return percent(found.mean) + ("" if found.sd is None else f" ± {percent(found.sd)}")


def differences(found: Mapping[str, Any], paper: Mapping[str, Any]) -> list[str]:
    """Settings that differ from the paper's, as ``batch size 16 (paper: 256)``."""
    return [
        f"{name.replace('_', ' ')} {in_words(found[name]) if name in found else 'not recorded'} "
        f"(paper: {in_words(value)})"
        for name, value in paper.items()
        if name not in found or found[name] != value
    ]


def in_words(value: Any) -> str:
    """A setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(parts: Iterable[str]) -> str:
    """``a, b and c``."""
    *others, last = list(parts)
    return f"{', '.join(others)} and {last}" if others else last
