"""What every contender of one comparison does: the same network on the same batch with the same threads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Work:
    """One comparison."""

    variant: str
    task: str
    """Of `radiodino.runtime.model_info.TASKS`."""
    weights: str
    """In words: whose they are."""
    image_size: int
    """Side in pixels."""
    batch_size: int
    """Images of one run."""
    threads: int
    """CPU threads of each engine."""

    def __str__(self) -> str:
        return (
            f"{self.variant}, {self.task}, {self.image_size} px, batch {self.batch_size}, {self.threads} "
            f"thread{'s' if self.threads != 1 else ''}"
        )
