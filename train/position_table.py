"""A learned position table, resized to another grid of patches.

The two ways differ numerically, and weights were trained or used with one of them: a variant names its own
(`Variant.position_interpolation`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.extras import require

if TYPE_CHECKING:
    from torch import Tensor

_DINO_OFFSET = 0.1


def resize_position_table(table: Tensor, grid: int, method: str) -> Tensor:
    """The position table for `grid` × `grid` patches; the CLS entry, the first, is kept as it is.

    Args:
        table: (1, 1 + n, D), floating point, where n is a square number of patches in row order.
        grid: patches along one side, at least 1.
        method: ``timm`` for a bicubic resize to the size with antialias, as `timm.layers.resample_abs_pos_embed`
            does; ``dino`` for a bicubic resize without antialias by the scale factor (grid + 0.1) / source grid, as
            `interpolate_pos_encoding` of the official DINO and DINOv2 code does.

    Returns:
        (1, 1 + grid², D), of the table's dtype, computed in float32; `table` itself where the grid is the same.

    Raises:
        InputError: where the method is unknown or the grid is less than 1.
        WeightsError: where the table is not one CLS entry and a square number of patches.
        MissingExtraError: where timm is needed and not installed.
    """
    if method not in _METHODS:
        raise InputError(f"there is no position interpolation '{method}': choose one of {', '.join(_METHODS)}")
    if grid < 1:
        raise InputError(f"a position table needs a grid of at least 1 patch along a side, not {grid}")
    shape = tuple(table.shape)
    patches = shape[1] - 1 if len(shape) == 3 else 0
    source = math.isqrt(max(patches, 0))
    if len(shape) != 3 or shape[0] != 1 or patches < 1 or source * source != patches:
        raise WeightsError(
            f"a position table must have the shape (1, 1 + n, D) with a square number n of patches after the CLS "
            f"entry, found {shape}: use the weights of a plain DINO or DINOv2 backbone"
        )
    return table if source == grid else _METHODS[method](table, source, grid)


def _timm(table: Tensor, source: int, grid: int) -> Tensor:
    require("export", "timm")
    from timm.layers.pos_embed import resample_abs_pos_embed

    resized: Tensor = resample_abs_pos_embed(table, new_size=[grid, grid], old_size=[source, source])
    return resized


def _dino(table: Tensor, source: int, grid: int) -> Tensor:
    import torch
    from torch.nn import functional

    size = table.shape[2]
    image = table[:, 1:].float().reshape(1, source, source, size).permute(0, 3, 1, 2)
    # The factor itself, not grid / source, sets where the samples lie: the offset moves them, and the result with it.
    factor = (grid + _DINO_OFFSET) / source
    resized = functional.interpolate(image, scale_factor=(factor, factor), mode="bicubic", align_corners=False)
    patches = resized.permute(0, 2, 3, 1).reshape(1, grid * grid, size)
    return torch.cat([table[:, :1], patches.to(table.dtype)], dim=1)


_METHODS: dict[str, Callable[[Tensor, int, int], Tensor]] = {"timm": _timm, "dino": _dino}
