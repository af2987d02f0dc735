"""What `radiodino.benchmarks.pretrain_step` measures, and who takes part; without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from radiodino.train.pretrain.recipe import Recipe

OFFICIAL, OFFICIAL_ALONE, OURS, COMPILED = "official style", "official style, step alone", "ours", "ours, compiled"

NAMES = (OFFICIAL, OFFICIAL_ALONE, OURS, COMPILED)
"""Of the contestants, in the order in which a round goes through them."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured; the same for all contestants."""

    recipe: Recipe
    images: Path
    """Folder of `radiodino.benchmarks.gather_images.gather_images`."""
    cache: Path
    """Where this package keeps decoded images."""
    accelerator: str
    """``auto``, ``cpu`` or ``cuda``."""
    threads: int
    """Of a training process, on the CPU."""
    workers: int
    """Processes of the official-style data path."""
    official_precision: str
    """See `radiodino.benchmarks.official_style_step.PRECISIONS`."""
    fused_attention: bool = False
    """Of the official-style step."""
