"""What to export, and how; readable without PyTorch, so that a mistake is said before PyTorch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from radiodino.runtime.atomic import refuse_existing
from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import Variant

PRECISIONS = ("fp32", "fp16")

OUTPUTS = {
    "embedding": "normalised CLS token of the last block",
    "patch_tokens": "normalised patch tokens of the last block, row by row from the top left",
    "attention": "softmax attention of the CLS token to each patch, per head of the last block",
}


@dataclass(frozen=True)
class ExportSettings:
    """One export."""

    variant: Variant
    weights: str = "published"
    """``published``, ``demo``, ``random``, or the path of a checkpoint."""
    seed: int = 0
    """For random weights."""
    checkpoint_key: str | None = None
    """``teacher`` or ``student`` of a training checkpoint; None takes the teacher where there is one."""
    precision: str = "fp32"
    image_size: int = 224
    """Side in pixels, a multiple of the variant's patch."""
    outputs: tuple[str, ...] = ()
    """Beside ``embedding``, of `OUTPUTS`."""
    output: Path | None = None
    """None: ``radiodino-<variant>-<precision>.onnx`` in the current folder, with demonstration weights
    ``radiodino-<variant>-demo-<precision>.onnx``."""
    force: bool = False
    """Whether an existing file may be replaced."""

    @property
    def target(self) -> Path:
        """The file to write."""
        demo = "-demo" if self.weights == "demo" else ""
        return self.output or Path(f"radiodino-{self.variant.name}{demo}-{self.precision}.onnx")

    @property
    def output_names(self) -> tuple[str, ...]:
        """``embedding`` and the optional outputs asked for, in the order of `OUTPUTS`."""
        return tuple(name for name in OUTPUTS if name == "embedding" or name in self.outputs)

    def check(self) -> None:
        """Refuse what cannot be exported, before any work is done.

        Raises:
            InputError: an image size that the patch does not divide, an unknown output or precision.
            OutputError: the file exists already or cannot be written.
        """
        if self.precision not in PRECISIONS:
            raise InputError(f"there is no precision '{self.precision}': choose {' or '.join(PRECISIONS)}")
        for name in self.outputs:
            if name not in OUTPUTS:
                raise InputError(f"there is no output '{name}': choose of {', '.join(OUTPUTS)}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"the seed must lie between 0 and 2^63 - 1, not at {self.seed}")
        if self.variant.grid(self.image_size) > _LARGEST_GRID:
            largest = _LARGEST_GRID * self.variant.patch
            raise InputError(
                f"image size {self.image_size} asks for more attention than a workstation holds: use at most {largest}"
            )
        refuse_existing(self.target, overwrite=self.force)


_LARGEST_GRID = 64
"""Patches along one side: attention holds a number for each pair of patches, 64 MiB an image and head at this size."""
