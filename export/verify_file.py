"""An exported file compared with its original again, later or on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radiodino.runtime.compute import INT8
from radiodino.runtime.errors import VerificationError

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
        VerificationError: the file differs from its original, or an int8 file by more than it did when it was made.
    """
    info, original = recorded_original(path, weights)
    batches = probe_batches(info.image_size)
    outputs = tuple(output.name for output in info.outputs)
    comparisons = verify(path, info.precision, reference_outputs(original, outputs, batches), batches)
    refuse_failed(comparisons, info.precision, "do not use it, and export it again")
    if info.precision in INT8:
        refuse_other_than_recorded(comparisons, info.verification.get("comparisons", []))
    return comparisons


def refuse_other_than_recorded(comparisons: list[Comparison], recorded: list[dict[str, Any]]) -> None:
    """Refuse cosines that are not what they were when the file was made.

    The tolerances of int8 on the probe images are wide; but the multiplication of whole numbers is exact, so that a
    processor or engine which gives notably other numbers multiplies wrongly.

    Args:
        comparisons: those found here.
        recorded: those in the file.

    Raises:
        VerificationError: where a cosine is lower than any recorded one by more than `_RECORDED_MARGIN`.
    """
    for found in comparisons:
        was = min((entry["cosine"] for entry in recorded if entry["output"] == found.output), default=found.cosine)
        if found.output != "logits" and found.cosine < was - _RECORDED_MARGIN:
            raise VerificationError(
                f"'{found.output}' has a cosine of {found.cosine:.5f} to the original in {found.backend} "
                f"({found.compute}), and had {was:.5f} where the file was made: this processor or engine computes its "
                "8-bit layers otherwise, so do not use it here, and take an fp16 file instead"
            )


_RECORDED_MARGIN = 0.01
"""Float parts in another arithmetic move a cosine by up to a tenth of this; saturated products by more."""
