"""The SHA-256 that identifies weights: of a file's bytes, or of the values themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from radiodino.runtime.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1 << 20


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        WeightsError: where it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error.strerror or error}") from error
    return digest.hexdigest()


def values_sha256(state: dict[str, Tensor]) -> str:
    """The SHA-256 of a state dict's values (float32, little endian, in the alphabetical order of its keys)."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].detach().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
