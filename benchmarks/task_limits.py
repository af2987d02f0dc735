"""How far an exported file may be from its PyTorch original on real images."""

from __future__ import annotations

from dataclasses import dataclass

from .task_answers import Figures


@dataclass(frozen=True)
class Limits:
    """Of one arithmetic."""

    class_error: float
    """The largest difference of a class's probability."""
    dice: float
    """The smallest Dice with the original's masks, all pixels of all images together."""
    margin: float = 1e-3
    """Where the original's two largest probabilities are not further apart than this, it leaves the class open."""
    same_class: float = 0.999
    """The smallest share of images that keep the original's class, of those where it is clear."""


LIMITS: dict[tuple[str, str], Limits] = {
    # (precision of the file, arithmetic)
    ("fp32", "fp32"): Limits(class_error=1e-4, dice=0.999),
    ("fp16", "fp32"): Limits(class_error=5e-3, dice=0.995),
    ("fp16", "fp16"): Limits(class_error=5e-3, dice=0.995),
    ("fp16", "bf16"): Limits(class_error=2e-2, dice=0.995, margin=2e-2),
}
"""In bf16 a head's file is computed only where that is asked for; its margin is that of `radiodino.export.verify`."""
ORIGINAL = LIMITS["fp32", "fp32"]


def broken(found: Figures, limits: Limits) -> list[str]:
    """Which limits a file does not keep, each as a phrase; none where it keeps all.

    What cannot be judged, because nothing is clear or marked, is not kept.
    """
    said = []
    if found.clear is not None and found.same_class is not None and found.class_error is not None:
        if not found.clear:
            said.append(
                f"no image whose class is clear by more than {limits.margin:g}, so that classes cannot be compared"
            )
        elif not found.same_class / found.clear >= limits.same_class:
            said.append(
                f"the original's class for {found.same_class} of {found.clear} images "
                f"({100 * found.same_class / found.clear:.2f} %) where {100 * limits.same_class:g} % are demanded"
            )
        if not found.class_error <= limits.class_error:
            said.append(f"a probability off by {found.class_error:.2g} where {limits.class_error:g} is allowed")
    if found.mask_error is not None:
        if found.original_dice is None:
            said.append("no pixel in any mask, nor has the original, so that masks cannot be compared")
        elif not found.original_dice >= limits.dice:
            said.append(f"masks with a Dice of {found.original_dice:.5f} where {limits.dice:g} is demanded")
    return said
