"""Where in an image the answer comes from, as far as a map of patches can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .classification import Classification
from .geometry import resize_back
from .kinds import ATTENTION, CAM

SCALING = {
    CAM: "0 where a patch speaks for this class no more than for the classes on average, 1 at this image's strongest",
    ATTENTION: "0 at the patch of this image that is attended to least, 1 at the one most, heads averaged",
}
"""What 0 and 1 mean. Both are of one image: maps of two images cannot be compared by their values."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """A heat map; it shows what the network used, not whether that was right. Research use only, not for diagnosis.

    A ``cam`` is the classification head, which was trained on the CLS token, laid over each patch token instead: it
    says which patches look as the CLS token of the class does. It is no Grad-CAM: no gradients are taken.
    ``attention`` is that of the last block's CLS token to the patches; it is the same whatever class is said.
    """

    heat: NDArray[np.float32]
    """float32 (H, W), within 0..1, in the geometry of the image as it was given: `patches`, scaled, and stretched back
    bilinearly."""
    kind: str
    """``cam`` or ``attention``."""
    label: str | None
    """The class that a ``cam`` speaks for; None of ``attention``."""
    patches: NDArray[np.float32]
    """float32 (G, G), before scaling: of a ``cam`` the head's weights for the class, less their mean over the classes
    (which softmax does not see), applied to each patch token; of ``attention`` the mean over the heads."""
    scaling: str
    """What 0 and 1 of `heat` mean, in words."""
    classification: Classification | None
    """Of the same pass, where the file classifies."""
    notice: str | None = None
    """What must be said of the file's weights wherever this goes; None where nothing must."""


def explanation(
    outputs: Mapping[str, NDArray[np.float32]],
    kind: str,
    *,
    target: int | None,
    size: tuple[int, int],
    classified: Classification | None,
    notice: str | None,
) -> Explanation:
    """The explanation of one image.

    Args:
        outputs: of the network, without the batch: ``cam`` (C, N) or ``attention`` (heads, N), N = G·G.
        kind: one of `radiodino.runtime.tasks.kinds.KINDS`.
        target: of a ``cam``, the index of the class that it speaks for; None takes the class that is said.
        size: height and width of the image as it was given.
        classified: the classification of the same pass; needed for a ``cam``.
        notice: what must be said of the weights.
    """
    label = None
    if kind == CAM and classified is not None:
        index = classified.index if target is None else target
        label = classified.classes[index]
        flat = outputs[CAM][index] - outputs[CAM].mean(0)
        scaled = _of_greatest(flat)
    else:
        flat = outputs[ATTENTION].mean(0)
        scaled = _of_range(flat)
    side = round(flat.size**0.5)
    return Explanation(
        heat=resize_back(scaled.reshape(side, side), size),
        kind=kind,
        label=label,
        patches=flat.reshape(side, side),
        scaling=SCALING[kind],
        classification=classified,
        notice=notice,
    )


def _of_greatest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    positive = np.maximum(values, np.float32(0))
    greatest = positive.max()
    return positive / greatest if greatest > 0 else positive


def _of_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    least = values.min()
    span = values.max() - least
    return (values - least) / span if span > 0 else np.zeros_like(values)
