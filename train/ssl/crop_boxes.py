"""Where random resized crops lie, for a whole batch at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_ATTEMPTS = 10  # torchvision's


def draw_boxes(
    shape: Sequence[int],
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Boxes distributed as those of torchvision's `RandomResizedCrop`.

    The area is uniform in `scale` times the image's, the ratio of width to height log-uniform in `ratio`; where no one
    of 10 such boxes fits into the image, the largest central box of an allowed ratio is taken. All 10 are always drawn,
    so that the stream of random numbers moves on by the same amount whatever the outcome.

    Args:
        shape: how many boxes, for example (samples, views).
        height: of the images in pixels.
        width: likewise.
        scale: least and greatest share of the area, in (0, 1].
        ratio: least and greatest ratio of width to height.
        generator: where the random numbers come from, and the device on which the result lies.

    Returns:
        (*shape, 4), int64: top, left, height and width in pixels, inside the image and at least 1 px along each side.
    """
    uniform = torch.rand((4, *shape, _ATTEMPTS), generator=generator, dtype=torch.float64, device=generator.device)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * uniform[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (low + (high - low) * uniform[1]).exp()
    widths = (area * aspect).sqrt().round().long()
    heights = (area / aspect).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    tops = (uniform[2] * (height - heights + 1)).floor().long()
    lefts = (uniform[3] * (width - widths + 1)).floor().long()
    boxes = torch.stack([tops, lefts, heights, widths], dim=-1)

    first = fits.int().argmax(dim=-1)  # the first of the greatest
    chosen = boxes.gather(-2, first[..., None, None].expand(*first.shape, 1, 4)).squeeze(-2)
    central = torch.tensor(_central(height, width, ratio), device=chosen.device)
    return torch.where(fits.any(dim=-1, keepdim=True), chosen, central)


def _central(height: int, width: int, ratio: tuple[float, float]) -> list[int]:
    tall, wide = height, width
    if width < ratio[0] * height:
        tall = round(width / ratio[0])
    elif width > ratio[1] * height:
        wide = round(height * ratio[1])
    tall, wide = max(tall, 1), max(wide, 1)
    return [(height - tall) // 2, (width - wide) // 2, tall, wide]
