"""An exported file compared with its original again, later or on another machine."""

from __future__ import annotations

from pathlib import Path

from radiodino.runtime.compute import INT8
from radiodino.runtime.model_file import read_model_file

from .probe_images import probe_batches
from .recorded_cosines import refuse_other_than_recorded
from .recorded_original import recorded_info, recorded_original
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
        VerificationError: the file differs from its original, or an int8 file by more than it did when it was made.
    """
    if read_model_file(path).engine is not None:
        from .tensorrt.export_engine import compare_engine, refuse_different
        from .tensorrt.reference import from_pytorch

        reference = from_pytorch(path, weights)
        found = compare_engine(path, reference)
        refuse_different(found, recorded_info(path).precision, reference, "do not use it, and build it again")
        return found
    info, original = recorded_original(path, weights)
    batches = probe_batches(info.image_size)
    outputs = tuple(output.name for output in info.outputs)
    comparisons = verify(path, info.precision, reference_outputs(original, outputs, batches), batches)
    refuse_failed(comparisons, info.precision, "do not use it, and export it again")
    if info.precision in INT8:
        refuse_other_than_recorded(comparisons, info.verification.get("comparisons", []))
    return comparisons
