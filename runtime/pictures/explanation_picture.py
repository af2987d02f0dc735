"""The picture of an explanation."""

from __future__ import annotations

from PIL import Image

from ..tasks.explanation import Explanation
from ..tasks.kinds import CAM
from .display import Display
from .heat_overlay import draw_heat
from .legend import GREY, HeatScale, Part, ScaleBar, Text, with_legend
from .wording import class_parts, closing_parts


def explanation_picture(
    image: Image.Image,
    found: Explanation,
    *,
    spacing: tuple[float, float] | None = None,
    remark: str | None = None,
) -> Image.Image:
    """The image as it was, the image with the heat map beside it, and a legend below.

    Args:
        image: 8-bit, mode ``L`` or ``RGB``, of the map's size.
        found: the map.
        spacing: distance of rows and of columns in mm, where it is known.
        remark: what must be known of the image.

    Returns:
        Mode ``RGB``.
    """
    height, width = found.heat.shape
    display = Display((height, width))
    plain = display.image(image)
    heated = draw_heat(plain, display.heat(found.heat))
    parts: list[Part] = []
    if found.classification is not None:
        parts += class_parts(found.classification)
    what = (
        f"class-activation map for {found.label}: patches that look as this class does; no Grad-CAM"
        if found.kind == CAM
        else "attention of the last block: where the network looked, whatever the class"
    )
    parts += [Text(f"right: {what}"), HeatScale(), Text(found.scaling, GREY)]
    if spacing is not None:
        parts.append(ScaleBar(spacing[1] / display.scale))
    return with_legend([plain, heated], [*parts, *closing_parts(remark, found.notice)])
