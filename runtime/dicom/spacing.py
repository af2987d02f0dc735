"""The distance between the pixels of a DICOM image, in mm, so far as the file states it.

In this order (PS3.3 10.7 and C.8.5.5):

1. PixelSpacing, of the frame, of all frames, or of the image; where a projection radiograph repeats its
   ImagerPixelSpacing there, nothing was calibrated and the next line applies.
2. ImagerPixelSpacing or NominalScannedPixelSpacing: measured at the detector or on the film, which a projection
   radiograph's rays reach enlarged. It is taken, with a notice.
3. The 2-D regions of an ultrasound image, where both of their directions are in cm and all have one scale.

What is damaged, not above 0, or contradicts itself gives none and a notice: a length or an area in mm is either what
the file states or is not there.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from ..errors import UnreadableImageError
from .elements import Elements, reading

Spacing: TypeAlias = "tuple[float, float]"

DAMAGED = "its pixel spacing is damaged or not above 0, so nothing is given in mm"
AT_DETECTOR = (
    "its pixel spacing is measured at the detector, where things are shown larger than they are, so lengths and areas "
    "are those on the detector"
)
ON_FILM = "its pixel spacing is measured on the scanned film, so lengths and areas are those on the film"
OTHER_REGIONS = "its scale is that of its 2-D ultrasound regions alone, so nothing outside of them is to scale"
UNLIKE_REGIONS = "its ultrasound regions have different scales, so nothing is given in mm"
CONTRADICTION = "its pixel spacing and its ultrasound regions contradict each other, so nothing is given in mm"

_UNCALIBRATED = {"ImagerPixelSpacing": AT_DETECTOR, "NominalScannedPixelSpacing": ON_FILM}
_TWO_DIMENSIONS = 1  # RegionSpatialFormat
_CM = 3  # PhysicalUnitsXDirection, PhysicalUnitsYDirection
_EQUAL = 0.01
"""Two scales that differ by no more, relatively, are one that was rounded differently."""


def pixel_spacing(described: list[Elements]) -> tuple[Spacing | None, str | None]:
    """The distance of rows and of columns in mm, and what a user must know of it.

    Args:
        described: the data set, the groups shared by all frames, and those of this frame, as far as there are any; the
            last that states a spacing counts.
    """
    try:
        with reading(DAMAGED):
            return _stated(described)
    except UnreadableImageError as error:  # the image is as good as before, only not to scale
        return None, error.reason if error.reason in (UNLIKE_REGIONS, CONTRADICTION) else DAMAGED


def _stated(described: list[Elements]) -> tuple[Spacing | None, str | None]:
    elements = described[0]
    measures = [item for level in described[1:] for item in level.items("PixelMeasuresSequence")]
    calibrated = next(filter(None, (_pair(level, "PixelSpacing") for level in (*reversed(measures), elements))), None)
    for name, notice in _UNCALIBRATED.items():
        at_detector = _pair(elements, name)
        if at_detector and (calibrated is None or _alike(calibrated, at_detector, 1e-6)):
            return at_detector, notice
    in_regions = _regions(elements)
    if calibrated is None:
        return in_regions
    if in_regions[0] and not _alike(calibrated, in_regions[0], _EQUAL):
        raise UnreadableImageError(CONTRADICTION)
    return calibrated, None


def _pair(elements: Elements, name: str) -> Spacing | None:
    values = elements.decimals(name)
    return _positive(values) if values else None


def _positive(values: list[float]) -> Spacing:
    if len(values) != 2 or not all(math.isfinite(value) and value > 0 for value in values):
        raise UnreadableImageError(DAMAGED)
    return values[0], values[1]


def _regions(elements: Elements) -> tuple[Spacing | None, str | None]:
    regions = elements.items("SequenceOfUltrasoundRegions")
    flat = [region for region in regions if _is_in_cm(region)]
    scales = [_positive([10 * (region.double(f"PhysicalDelta{axis}") or 0) for axis in "YX"]) for region in flat]
    if not scales:
        return None, None
    if not all(_alike(scales[0], scale, 1e-6) for scale in scales):
        raise UnreadableImageError(UNLIKE_REGIONS)
    return scales[0], OTHER_REGIONS if len(flat) < len(regions) else None


def _is_in_cm(region: Elements) -> bool:
    units = [region.integer(f"PhysicalUnits{axis}Direction") for axis in "XY"]
    return region.integer("RegionSpatialFormat") == _TWO_DIMENSIONS and units == [_CM, _CM]


def _alike(one: Spacing, other: Spacing, tolerance: float) -> bool:
    return all(math.isclose(a, b, rel_tol=tolerance) for a, b in zip(one, other, strict=True))
