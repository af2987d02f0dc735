"""The backbone in a checkpoint, whatever saved it: timm, the authors' code, or official DINO and DINOv2."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from radiodino.runtime.variants import Variant

from ..backbone import entry_shapes
from ..position_table import resize_position_table
from .check_entries import check_entries, check_finite, check_variant
from .choose_backbone import choose_backbone
from .timm_entries import timm_entries

if TYPE_CHECKING:
    from torch import Tensor


def backbone_state(
    raw: dict[str, Any],
    variant: Variant,
    *,
    image_size: int = 224,
    checkpoint_key: str | None = None,
    source: str = "the checkpoint",
) -> tuple[dict[str, Tensor], str]:
    """The backbone of `variant` in what `read_checkpoint` returned, named and shaped for `build_backbone`.

    The backbone is looked for at the top level and under ``teacher``, ``student``, ``model``, ``state_dict``, with the
    prefixes that wrappers leave (``module.``, ``backbone.``, ``_orig_mod.``, ``teacher.``, ...). A teacher is
    preferred, as DINO evaluates the teacher; any other choice among several is an error. Heads and the mask token are
    left out, DINOv2's chunked blocks renumbered, and the position table is resized with
    `variant.position_interpolation` where its grid is not that of `image_size`, otherwise kept bit for bit.

    Args:
        raw: the checkpoint's dictionary.
        variant: which variant it must be.
        image_size: side of the input in pixels, a multiple of the variant's patch.
        checkpoint_key: take the backbone under this key (``student``, for example) and no other.
        source: what to call the checkpoint in messages.

    Returns:
        The state dict, float32 on the CPU, to be loaded strictly; and a phrase that says what was chosen and changed,
        for the record, such as ``teacher, prefix backbone.; without head``.

    Raises:
        WeightsError: where there is no backbone or no single one, or it is another variant's, lacks entries, has
            unknown ones, wrong shapes or types, or values that are not finite.
        InputError: where the size is not a multiple of the patch.
    """
    shapes = entry_shapes(variant, image_size)
    found = choose_backbone(raw, checkpoint_key, source)
    stored, left_out = timm_entries(found, variant, source)
    check_variant(stored, variant, source)
    check_entries(stored, shapes, variant, source)
    state, converted = _as_float32({name: stored[name] for name in shapes})
    check_finite(state, source)
    state["pos_embed"], resized = _fitted_position_table(state["pos_embed"], variant, image_size)

    without = f"without {', '.join(left_out)}" if left_out else ""
    return state, "; ".join(note for note in (found.place, without, converted, resized) if note)


def _as_float32(stored: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The entries in float32, and which precisions were converted, empty where none was."""
    import torch

    others = sorted({str(value.dtype).removeprefix("torch.") for value in stored.values()} - {"float32"})
    state = {name: value.detach().to(torch.float32).contiguous() for name, value in stored.items()}
    return state, f"{' and '.join(others)} converted to float32" if others else ""


def _fitted_position_table(table: Tensor, variant: Variant, image_size: int) -> tuple[Tensor, str]:
    """The position table for `image_size`, and from which grid it was resized, empty where it was not."""
    grid = variant.grid(image_size)
    fitted = resize_position_table(table, grid, variant.position_interpolation)
    before = isqrt(table.shape[1] - 1)
    if before == grid:
        return fitted, ""
    return fitted, f"position table resized from {before}x{before} to {grid}x{grid} ({variant.position_interpolation})"
