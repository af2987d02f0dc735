"""The largest memory of a process."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float | None:
    """The largest memory of this process so far, in MiB; None where the system does not say (outside Linux)."""
    if not _STATUS.exists():
        return None
    # Not getrusage: its maximum includes the parent's memory at the time of the fork.
    found = re.search(r"VmHWM:\s+(\d+)", _STATUS.read_text())
    return int(found[1]) / 1024 if found else None
