"""Whether entries are those of a variant: which variant, none missing, none unexpected, their shapes, finite values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

from .wording import some_of

if TYPE_CHECKING:
    from torch import Tensor

_REGISTERS = ("register_tokens", "reg_token")
_PRECISIONS = ("float32", "float16", "bfloat16", "float64")


def check_variant(state: dict[str, Tensor], variant: Variant, source: str) -> None:
    """See that the weights are of `variant` as far as its table tells, and say of which they are if not.

    Raises:
        WeightsError: where they are of another variant or of none, or have register tokens.
    """
    registers = next((name for name in _REGISTERS if name in state), None)
    if registers:
        raise WeightsError(
            f"{source} has register tokens ('{registers}', shape {tuple(state[registers].shape)}), which no variant "
            "has: use weights that were trained without registers"
        )
    projection = state.get("patch_embed.proj.weight")
    if projection is None or projection.ndim != 4:
        return  # `check_entries` names it among the missing or misshapen
    blocks = [int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))]
    found = _Architecture(
        projection.shape[0], projection.shape[3], 1 + max(blocks, default=-1), any(".ls1." in name for name in state)
    )
    wanted = _Architecture.of(variant)
    if found == wanted:
        return
    fits = next((other.name for other in VARIANTS.values() if _Architecture.of(other) == found), None)
    raise WeightsError(
        f"{source}: these weights are of '{fits}' ({found.beside(wanted)}), not '{variant.name}' "
        f"({wanted.beside(found)}): use --variant {fits} or other weights"
        if fits
        else f"{source}: these weights ({found.beside(wanted)}) are of no variant of the family, expected "
        f"'{variant.name}' ({wanted.beside(found)}): use other weights"
    )


def check_entries(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], variant: Variant, source: str) -> None:
    """See that every entry of the architecture is there, no other is, and each is dense, floating point and in shape.

    The position table may be of any grid.

    Raises:
        WeightsError: where one is missing, unexpected, of another shape, quantised or sparse.
    """
    missing = [name for name in shapes if name not in state]
    if missing:
        raise WeightsError(
            f"{source} lacks {len(missing)} of the {len(shapes)} entries of '{variant.name}' ({some_of(missing)}): the "
            "checkpoint is incomplete or of another architecture, use another one"
        )
    unknown = [name for name in state if name not in shapes]
    if unknown:
        raise unexpected_entries(unknown, variant, source)
    for name, shape in shapes.items():
        value = state[name]
        found = tuple(value.shape)
        if name == "pos_embed" and len(found) == 3:
            shape = (shape[0], found[1], shape[2])  # its grid may be another one, to be resized
        if found != shape:
            raise WeightsError(
                f"{source}: '{name}' has the shape {found}, '{variant.name}' needs {shape}: use weights of "
                f"'{variant.name}'"
            )
        dtype, layout = (str(kind).removeprefix("torch.") for kind in (value.dtype, value.layout))
        if dtype not in _PRECISIONS or layout != "strided":
            raise WeightsError(
                f"{source}: '{name}' is stored as {dtype} ({layout}), expected dense float32, float16, bfloat16 or "
                "float64: use weights that are not quantised or sparse"
            )


def check_finite(state: dict[str, Tensor], source: str) -> None:
    """See that all values are finite numbers.

    Args:
        state: entries in float32, in which larger values have become infinite.
        source: what to call the checkpoint in messages.

    Raises:
        WeightsError: where an entry has others.
    """
    import torch

    for name, value in state.items():
        wrong = int((~torch.isfinite(value)).sum())
        if wrong:
            raise WeightsError(
                f"{source}: {wrong} of the {value.numel()} values of '{name}' are not finite in float32, expected "
                "finite weights: its training diverged or the file is damaged, use another checkpoint"
            )


def unexpected_entries(names: list[str], variant: Variant, source: str) -> WeightsError:
    """The error for entries that the architecture does not have."""
    return WeightsError(
        f"{source} has {len(names)} entries that '{variant.name}' does not have ({some_of(names)}): the checkpoint is "
        "of another architecture, use another one"
    )


@dataclass(frozen=True)
class _Architecture:
    """What the shapes of a state dict tell of the architecture (the number of heads leaves no trace in them)."""

    embedding_size: int
    patch: int
    depth: int
    layer_scale: bool

    @classmethod
    def of(cls, variant: Variant) -> _Architecture:
        return cls(variant.embedding_size, variant.patch, variant.depth, variant.layer_scale)

    def beside(self, other: _Architecture) -> str:
        """Its numbers in words, depth and LayerScale where they differ from the other's."""
        words = [f"embedding {self.embedding_size}", f"patch {self.patch}"]
        if self.depth != other.depth:
            words.append(f"depth {self.depth}")
        if self.layer_scale != other.layer_scale:
            words.append("with LayerScale" if self.layer_scale else "without LayerScale")
        return ", ".join(words)
