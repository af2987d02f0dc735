"""What a measuring process is told at its start, and what it answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What to open."""

    opener: str
    file: str
    engine: str
    compute: str | None
    device: str
    threads: int
    outputs: tuple[str, ...]
    batch: str
    """A ``.npy`` file: the batch that is run again and again, of the number of images that the engine shall prepare
    for."""

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Opening:
        """Of what `to_json` gave."""
        document: dict[str, Any] = json.loads(text)
        return cls(**{**document, "outputs": tuple(document["outputs"])})


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What the start cost."""

    version: str
    """Of the engine."""
    compute: str
    """The arithmetic that is active."""
    import_seconds: float
    """From the start of the opener to the engine's libraries being loaded."""
    load_seconds: float
    """From there to the model being ready."""
    first_seconds: float
    """The first run, in which engines allocate and choose kernels."""


@dataclass(frozen=True, kw_only=True)
class FileRun:
    """One run from an image on disk to the answer, in seconds."""

    decode: float
    resize: float
    """And normalise."""
    inference: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.decode + self.resize + self.inference


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round."""

    seconds: tuple[float, ...]
    """Of each run."""
    run_cpu_seconds: tuple[float, ...]
    """Likewise, processor time of all threads."""
    cpu_seconds: float
    """Processor time of the process in this round, all threads."""
    peak_mib: float | None
    """Largest memory of the process so far; None where the system does not say (outside Linux)."""
