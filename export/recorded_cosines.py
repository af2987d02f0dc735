"""Cosines of an int8 network that must be what they were when its file was made."""

from __future__ import annotations

from typing import Any

from radiodino.runtime.errors import VerificationError

from .verify import Comparison

_MARGIN = 0.01
"""Float parts in another arithmetic move a cosine by up to a tenth of this; saturated products by more."""
_CURE = "do not use it here, and take an fp16 file instead"


def refuse_other_than_recorded(
    comparisons: list[Comparison], recorded: list[dict[str, Any]], outcome: str = _CURE
) -> None:
    """Refuse cosines that are not what they were when the file was made.

    The tolerances of int8 on the probe images are wide; but the multiplication of whole numbers is exact, so that a
    processor or engine which gives notably other numbers multiplies wrongly.

    Args:
        comparisons: those found here.
        recorded: those in the file.
        outcome: what the error says at its end.

    Raises:
        VerificationError: where a cosine is lower than any recorded one by more than `_MARGIN`.
    """
    for found in comparisons:
        was = min((entry["cosine"] for entry in recorded if entry["output"] == found.output), default=found.cosine)
        if found.output != "logits" and found.cosine < was - _MARGIN:
            raise VerificationError(
                f"'{found.output}' has a cosine of {found.cosine:.5f} to the original in {found.backend} "
                f"({found.compute}), and had {was:.5f} where the file was made: this processor or engine computes its "
                f"8-bit layers otherwise, so {outcome}"
            )
