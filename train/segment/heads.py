"""The segmentation heads by name."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

from radiodino.runtime.errors import InputError

from .lite_head import LiteHead
from .paper_head import PaperHead

Head: TypeAlias = PaperHead | LiteHead

HEADS: dict[str, type[PaperHead] | type[LiteHead]] = {"paper": PaperHead, "lite": LiteHead}


def build_head(kind: str, embedding_size: int, patch: int, *, seed: int = 0, **settings: Any) -> Head:
    """A head with random weights, the same for the same seed; PyTorch's random state is left as it was.

    Args:
        kind: a name of `HEADS`.
        embedding_size: of the backbone's tokens.
        patch: of the backbone, in pixels.
        seed: of the weights.
        settings: what else the head's class takes; its `settings` hold all of them.

    Raises:
        InputError: where there is no such head, or not for such a patch.
    """
    if kind not in HEADS:
        raise InputError(f"there is no segmentation head '{kind}': choose one of {', '.join(HEADS)}")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return HEADS[kind](embedding_size, patch, **settings)


def parameter_count(head: Head) -> int:
    """How many numbers `head` learns."""
    return sum(parameter.numel() for parameter in head.parameters())
