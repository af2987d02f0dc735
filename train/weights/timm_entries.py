"""The entries of a found backbone as timm names them, without the heads that it was trained with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import Variant

from .check_entries import unexpected_entries
from .choose_backbone import FoundBackbone, role_of, wrappers_of

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = re.compile(r"(head|fc|dino_head|ibot_head|projection_head\w*|mask_token)(\.|$)")
_LOSS = re.compile(r"\w*loss\.")  # DINO and DINOv2 keep the centre of their teacher there
_CHUNKED = re.compile(r"blocks\.\d+\.(\d+\..+)")


def timm_entries(found: FoundBackbone, variant: Variant, source: str) -> tuple[dict[str, Tensor], list[str]]:
    """The entries of the backbone without its prefix, DINOv2's chunked blocks renumbered.

    Args:
        found: the backbone.
        variant: which variant it must be, for messages.
        source: what to call the checkpoint in messages.

    Returns:
        The entries by name, as they are stored; and which parts beside the backbone were left out, sorted.

    Raises:
        WeightsError: where the same network has unknown parts, or two entries would share a name.
    """
    state: dict[str, Tensor] = {}
    left_out: set[str] = set()
    unknown: list[str] = []
    for name, value in found.entries.items():
        inside = name.startswith(found.prefix)
        wrappers = wrappers_of(name)
        if not inside and role_of(found.path + wrappers) != found.role:
            continue  # of the student where the teacher was chosen, or of the training around both
        bare = name.removeprefix(found.prefix if inside else "".join(f"{word}." for word in wrappers))
        if head := _HEAD.match(bare):
            left_out.add(head[1])
        elif inside:
            chunked = _CHUNKED.fullmatch(bare)
            renamed = f"blocks.{chunked[1]}" if chunked else bare
            if renamed in state:
                raise WeightsError(
                    f"{source} holds '{renamed}' a second time as '{name}', expected each block once: its blocks are "
                    "not numbered as DINOv2 does, save it without chunks"
                )
            state[renamed] = value
        elif not _LOSS.match(bare):
            unknown.append(name)
    if unknown:
        raise unexpected_entries(unknown, variant, source)
    return state, sorted(left_out)
