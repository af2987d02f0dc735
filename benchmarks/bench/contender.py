"""One engine with one file in one arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ORIGINAL, OURS = "original", "radiodino"
"""Makers beside the peers: of the PyTorch module, and of the files of this package."""
PYTORCH, PYTORCH_COMPILE = "pytorch", "pytorch-compile"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What a process of its own is told to open and run."""

    engine: str
    """As it is asked for on the command line: ``openvino``."""
    precision: str
    """As it is asked for: ``int8``."""
    maker: str
    """Of the file: `ORIGINAL`, `OURS`, or a peer's name."""
    opener: str
    """Of `radiodino.benchmarks.bench.openers.OPENERS`."""
    file: Path
    compute: str | None = None
    """The arithmetic to be told; None leaves it to the opener."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    batch: Path | None = None
    """What it runs, where that is not what all of its work run."""
    outputs: tuple[str, ...] = ()
    """Names of the network's outputs in their order, for files that do not say them."""
    remarks: tuple[str, ...] = ()
    """What must be known of the row, as sentences."""

    @property
    def name(self) -> str:
        """Different for every contender of one work."""
        peer = "" if self.maker in (ORIGINAL, OURS) else f" ({self.maker})"
        return f"{self.engine} {self.precision}{peer}"

    @property
    def may_fail(self) -> bool:
        """Whether a run goes on without it."""
        return self.maker not in (ORIGINAL, OURS)

    @property
    def is_peer(self) -> bool:
        """Whether it is what one would take otherwise."""
        return self.maker not in (ORIGINAL, OURS)
