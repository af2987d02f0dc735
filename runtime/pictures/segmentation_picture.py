"""The picture of a segmentation."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from ..tasks.segmentation import Segmentation
from .display import Display
from .legend import GREY, Part, ScaleBar, Text, with_legend
from .mask_overlay import COLOUR, draw_mask
from .wording import area_text, class_parts, closing_parts, percent


def segmentation_picture(image: Image.Image, found: Segmentation, remark: str | None = None) -> Image.Image:
    """The image with outline and tint of the mask, and a legend below.

    Args:
        image: 8-bit, mode ``L`` or ``RGB``, of the mask's size.
        found: what was found in it.
        remark: what must be known of the image, for example that its grey window was chosen here.

    Returns:
        Mode ``RGB``.
    """
    display = Display(found.mask.shape)
    shown = draw_mask(display.image(image), display.mask(found.mask))
    parts: list[Part] = [*_mask_parts(found)]
    if found.classification is not None:
        parts += class_parts(found.classification)
    if found.spacing is not None:
        parts.append(ScaleBar(found.spacing[1] / display.scale))
    return with_legend([shown], [*parts, *closing_parts(remark, found.notice)])


def _mask_parts(found: Segmentation) -> Iterator[Text]:
    if not found.mask.any():
        yield Text(f"{found.label}: nothing marked", large=True, swatch=COLOUR)
    else:
        area = "" if found.area_mm2 is None else f", {area_text(found.area_mm2)}"
        yield Text(f"{found.label}: {percent(found.share)} of the image{area}", large=True, swatch=COLOUR)
    yield Text(f"marked where its probability is {found.threshold:.2f} or more", GREY)
