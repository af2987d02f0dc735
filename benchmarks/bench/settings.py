"""What is to be measured, and how much; readable without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from radiodino.export.settings import DEFAULT_IMAGE_SIZE
from radiodino.runtime.errors import InputError
from radiodino.runtime.model_info import TASKS
from radiodino.runtime.variants import Variant, get_variant

from .isa import limit_of

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """One run of ``radiodino-bench``."""

    variants: tuple[str, ...] = ("tiny",)
    tasks: tuple[str, ...] = ("embed",)
    weights: tuple[str, ...] = ("auto",)
    """See `radiodino.benchmarks.bench.subject.load_subject`."""
    head: str = "lite"
    """Of random segmenters."""
    engines: tuple[str, ...] = ()
    """None named: PyTorch eager and what the runtime can use here."""
    precisions: tuple[str, ...] = ("fp32", "fp16", "int8")
    batch_sizes: tuple[int, ...] = (1,)
    image_sizes: tuple[int, ...] = ()
    """None named: 224, or that of the heads; of a sweep `SWEEP_SIZES`."""
    sweep: bool = False
    """Whether not every batch is measured at every size, but all of them at 224 px and the first at all sizes."""
    threads: tuple[int, ...] = ()
    """None named: the physical cores."""
    peers: bool = False
    end_to_end: bool = False
    """Whether to measure from an image on disk to the answer too, where the batch is one image."""
    image: str | None = None
    """Of that; None makes a grey JPEG of 1024 × 1024."""
    data: tuple[str, ...] = ()
    """Labelled images."""
    masks: tuple[str, ...] = ()
    """Images with masks."""
    images: int = 100
    """Of each of them at most."""
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    split_seed: int = 0
    group: str | None = None
    calibration: tuple[str, ...] = ()
    """None named: `data`."""
    calibration_count: int = 200
    isa: str | None = None
    peaks: bool = True
    """Whether to measure the machine's matrix products too, of which `Row.peak_share` is a share."""
    rounds: int = 9
    round_seconds: float = 0.5
    warm_seconds: float = 5.0

    def image_sizes_of(self, variant: Variant) -> tuple[int | None, ...]:
        """Those at which `variant` is measured; None is its usual one."""
        if self.image_sizes or not self.sweep:
            return self.image_sizes or (None,)
        return tuple(math.ceil(size / variant.patch) * variant.patch for size in SWEEP_SIZES)

    def batch_sizes_at(self, image_size: int) -> tuple[int, ...]:
        """Those that are measured at this size."""
        return self.batch_sizes[:1] if self.sweep and image_size != DEFAULT_IMAGE_SIZE else self.batch_sizes

    def check(self) -> None:
        """Refuse what cannot be measured, before any work is done.

        Raises:
            InputError: an unknown variant, task or instruction set, or a number that cannot be.
        """
        for variant in self.variants:
            get_variant(variant)
        for task in self.tasks:
            if task not in TASKS:
                raise InputError(f"there is no task '{task}': choose {', '.join(TASKS)}")
        least = {
            "--batch-size": self.batch_sizes,
            "--image-size": self.image_sizes,
            "--threads": self.threads,
            "--rounds": (self.rounds,),
            "--images": (self.images,),
        }
        for option, values in least.items():
            if any(value < 1 for value in values):
                raise InputError(f"{option} must be at least 1, not {min(values)}")
        if self.sweep and self.image_sizes and DEFAULT_IMAGE_SIZE not in self.image_sizes:
            raise InputError(f"--sweep measures batches at {DEFAULT_IMAGE_SIZE} px: name it among --image-size")
        if not (self.round_seconds >= 0 and self.warm_seconds >= 0):
            raise InputError("--round-seconds must be at least 0")
        for size in self.image_sizes:
            for variant in self.variants:
                get_variant(variant).grid(size)
        if self.image is not None and not Path(self.image).is_file():
            raise InputError(f"--image names {self.image}, which is no file: give a JPEG or PNG, or leave it out")
        limit_of(self.isa)
        if self.isa is not None and any(engine.startswith(("cuda", "tensorrt")) for engine in self.engines):
            raise InputError("--isa limits engines on the CPU: leave out cuda and tensorrt, or --isa")


def listed(option: str, text: str, convert: Callable[[str], _T]) -> tuple[_T, ...]:
    """The comma-separated values of `text`, each once.

    Raises:
        InputError: one is none.
    """
    found: dict[_T, None] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        try:
            found.setdefault(convert(part.strip()))
        except ValueError:
            raise InputError(f"{option} takes numbers with commas between them, not '{part.strip()}'") from None
    return tuple(found)


def names(option: str, text: str) -> tuple[str, ...]:
    """As `listed`, of names."""
    return listed(option, text, str)


SWEEP_SIZES, SWEEP_BATCHES = (56, 112, DEFAULT_IMAGE_SIZE, 448), (1, 4, 16, 64)
"""Of ``--sweep``, where none are named: what the plots of cost against image size and batch are made of. A size that
the patch does not divide is the next that it does: 64 for 56 where the patch is 16."""
QUICK = {"rounds": 3, "round_seconds": 0.2, "warm_seconds": 1.0, "images": 16, "calibration_count": 16}
"""What ``--quick`` changes: enough to see whether all works and which engine to take."""
