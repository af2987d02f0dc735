"""What an int8 file must reach beside the fp32 original."""

from __future__ import annotations

from dataclasses import dataclass, fields

from radiodino.runtime.errors import InputError

FEWEST_IMAGES = 8
"""Different images, half of them to calibrate on: with fewer there is nothing to choose a range on."""


@dataclass(frozen=True)
class GateLimits:
    """Least values, over the held-out images; the defaults may be tightened and never loosened."""

    mean_cosine: float = 0.999
    """Mean cosine of the embeddings to the original's."""
    min_cosine: float = 0.995
    """Cosine of the worst image."""
    agreement: float = 0.995
    """Share of the images with a clear margin that keep their label."""

    def check(self) -> None:
        """Refuse limits that are none.

        Raises:
            InputError: one is above 1, or below its default.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if not field.default <= value <= 1:
                raise InputError(
                    f"{_OPTIONS[field.name]} can only be tightened: give a value from {field.default} to 1, not {value}"
                )


_OPTIONS = {"mean_cosine": "--mean-cosine", "min_cosine": "--min-cosine", "agreement": "--min-agreement"}

DICE = 0.99
"""Least Dice of the masks with the original's, all images together."""
LARGEST_DROP = 0.001
"""Share of images that may lose their right label; judged from `ENOUGH_LABELLED` images on, as fewer cannot show it."""
ENOUGH_LABELLED = 1000
NEIGHBOUR_MARGIN = 0.01
"""A nearest label is clear where the nearest image of another label is less similar by more than this (cosine)."""
CLASS_MARGIN = 0.05
"""A class is clear where the two largest probabilities are further apart, or the probability from its threshold."""
MASK_MARGIN = 0.02
"""A pixel is clear where its probability is further from the threshold."""
