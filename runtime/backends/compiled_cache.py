"""Compiled models kept for a faster next start, each with the digest of its bytes.

A compiled model holds the arithmetic and the kernels of the machine that made it, so its name states the file, the
arithmetic, the engine's version and the processor. One that was damaged is not used: what is computed from it would be
wrong without a word.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..atomic import atomic_path
from ..errors import OutputError
from ..home import home
from ..machine import this_machine

_DIGEST = 64  # hexadecimal digits before the bytes
_GRAPHS = 2
"""Counted up with every change of what this package does to a graph before an engine compiles it."""


def compiled_path(engine: str, version: str, file_sha256: str, compiled_for: str) -> Path:
    """Where the compiled model of a file is kept.

    Args:
        engine: its name.
        version: of the engine.
        file_sha256: of the file.
        compiled_for: the arithmetic and what else the engine was told, as a part of a file name.
    """
    machine = this_machine()
    processor = hashlib.sha256(" ".join((machine.processor, *machine.instruction_sets)).encode()).hexdigest()
    return home() / engine / f"{file_sha256[:24]}-{compiled_for}-{_GRAPHS}-{version}-{processor[:8]}.bin"


def load_compiled(path: Path) -> bytes | None:
    """The compiled model at `path`, None where there is none or it is damaged."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    digest, compiled = kept[:_DIGEST], kept[_DIGEST:]
    return compiled if hashlib.sha256(compiled).hexdigest().encode() == digest else None


def keep_compiled(path: Path, compiled: bytes) -> None:
    """Keep a compiled model at `path`; where that cannot be written, the next start merely compiles again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(hashlib.sha256(compiled).hexdigest().encode() + compiled)
    except (OSError, OutputError):
        return
