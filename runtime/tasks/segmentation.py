"""The mask of an image, as a file's segmentation head says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model_info import SegmenterInfo
from .classification import Classification
from .geometry import area_mm2, resize_back


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Research use only, not for diagnosis."""

    label: str
    """What the mask marks."""
    mask: NDArray[np.bool_]
    """bool (H, W), in the geometry of the image as it was given: where `probability` is at least `threshold`."""
    probability: NDArray[np.float32]
    """float32 (H, W), within 0..1: the network's square stretched back over the image, bilinearly."""
    threshold: float
    """The file's, within 0..1."""
    share: float
    """Marked pixels of all, 0..1."""
    area_mm2: float | None
    """Of the marked pixels; None where the distance of pixels is not known."""
    spacing: tuple[float, float] | None
    """Distance of rows and of columns in mm, as the image states it."""
    spacing_notice: str | None
    """What must be known of `spacing`, for example that it is measured at the detector; None where nothing must."""
    classification: Classification | None
    """Of the same pass, where the file classifies too."""
    notice: str | None = None
    """What must be said of the file's weights wherever this goes; None where nothing must."""


def segmentation(
    outputs: Mapping[str, NDArray[np.float32]],
    head: SegmenterInfo,
    *,
    size: tuple[int, int],
    spacing: tuple[float, float] | None,
    spacing_notice: str | None,
    classified: Classification | None,
    notice: str | None,
) -> Segmentation:
    """The segmentation of one image.

    Args:
        outputs: of the network, without the batch: ``mask`` (S, S), probabilities.
        head: what the file says of its head.
        size: height and width of the image as it was given.
        spacing: distance of its rows and columns in mm, where it is known.
        spacing_notice: what must be known of that.
        classified: the classification of the same pass.
        notice: what must be said of the weights.
    """
    probability = resize_back(outputs["mask"], size)
    mask = probability >= np.float32(head.threshold)
    count = int(np.count_nonzero(mask))
    return Segmentation(
        label=head.label,
        mask=mask,
        probability=probability,
        threshold=head.threshold,
        share=count / mask.size,
        area_mm2=area_mm2(count, spacing),
        spacing=spacing,
        spacing_notice=spacing_notice,
        classification=classified,
        notice=notice,
    )
