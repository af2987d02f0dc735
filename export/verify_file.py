"""An exported file compared with its original again, later or on another machine."""

from __future__ import annotations

from pathlib import Path

from .pipeline import probe_batches
from .recorded_original import recorded_original
from .verify import Comparison, reference_outputs, refuse_failed, verify


def verify_file(path: Path, weights: str | tuple[str, ...] | None = None) -> list[Comparison]:
    """Repeat the verification of an exported file.

    Args:
        path: what radiodino-export wrote.
        weights: see `recorded_original`.

    Raises:
        ModelFileError: the file is damaged, foreign, or altered.
        InputError: it was made from checkpoints, and these are not named.
        WeightsError: the weights cannot be had, or are not those the file was made from.
        VerificationError: the file differs from its original.
    """
    info, original = recorded_original(path, weights)
    batches = probe_batches(info.image_size)
    outputs = tuple(output.name for output in info.outputs)
    comparisons = verify(path, info.precision, reference_outputs(original, outputs, batches), batches)
    refuse_failed(comparisons, info.precision, "do not use it, and export it again")
    return comparisons
