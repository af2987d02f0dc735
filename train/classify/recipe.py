"""Every number of a fine-tuning, with the paper's values as defaults (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import get_variant

from ..settings import ANY, check_settings, load_settings, set_settings


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One fine-tuning; where the paper is silent, the entry says so."""

    variant: str = "tiny"
    image_size: int = 224
    """Side in pixels, a multiple of the variant's patch."""
    folds: int = 5
    """Of the cross-validation over the images of train and val; 1 trains once on train and validates on val."""
    epochs: int = 30
    """At most, warm-up included."""
    patience: int = 10
    """Training ends when the validation loss has not fallen below its lowest for this many epochs."""
    batch_size: int = 256
    """Images per step over all processes together; the last step of an epoch takes those that are left."""
    learning_rate: float = 1e-4
    """After the warm-up; it falls along a cosine, step by step."""
    minimum_learning_rate: float = 0.0
    """Where the cosine would arrive one step after the last. The paper does not say."""
    warmup_epochs: int = 5
    warmup_learning_rate: float = 5e-6
    """Constant over the warm-up ("a reduced learning rate for the first five epochs")."""
    weight_decay: float = 0.01
    """Of all parameters; the paper excepts none."""
    clip: float = 1.0
    """Largest norm of all gradients together; 0 clips nothing."""
    augment: str = "autoaugment"
    """``autoaugment``: torchvision's, with the policy for ImageNet (the paper does not say which); ``none``."""
    freeze_backbone: bool = False
    """Whether the head alone learns, on features that are computed once, from images without augmentation."""
    precision: str = "bf16-mixed"
    """Of the training, as Lightning Fabric names them: ``32-true`` or ``bf16-mixed`` (the paper: "automatic mixed
    precision"). Validation and test are always computed in float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        get_variant(self.variant).grid(self.image_size)
        check_settings(self, _CHOICES, _RANGES)
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"warmup_epochs must be fewer than the {self.epochs} epochs, found {self.warmup_epochs}: lower it, "
                "--set warmup_epochs=0"
            )
        if self.freeze_backbone and self.augment != "none":
            raise InputError(
                f"a frozen backbone's features are computed once, without augmentation, but augment is "
                f"'{self.augment}': give --freeze-backbone, or set augment=none"
            )


_CHOICES: dict[str, tuple[str, ...]] = {
    "augment": ("autoaugment", "none"),
    "precision": ("32-true", "bf16-mixed"),
}

_RANGES: dict[str, tuple[float, float]] = {
    "folds": (1, ANY),
    "epochs": (1, ANY),
    "patience": (1, ANY),
    "batch_size": (1, ANY),
    "learning_rate": (0, ANY),
    "minimum_learning_rate": (0, ANY),
    "warmup_epochs": (0, ANY),
    "warmup_learning_rate": (0, ANY),
    "weight_decay": (0, ANY),
    "clip": (0, ANY),
    "seed": (0, 2**32 - 1),
}


def preset(variant: str, *, freeze_backbone: bool = False) -> Recipe:
    """The paper's recipe, or a linear probe on the frozen backbone.

    The paper has no such probe. Its rate and length are ours: on features that are computed once an epoch costs next
    to nothing, and a head alone would hardly move in 30 epochs at 1e-4.

    Args:
        variant: of `radiodino.runtime.variants.VARIANTS`.
        freeze_backbone: for the probe.

    Raises:
        InputError: where there is no such variant.
    """
    if not freeze_backbone:
        return Recipe(variant=variant)
    return Recipe(
        variant=variant,
        freeze_backbone=True,
        augment="none",
        precision="32-true",
        learning_rate=3e-3,
        warmup_epochs=0,
        epochs=300,
        patience=30,
    )


def load_recipe(path: Path, base: Recipe) -> Recipe:
    """`base` with what the YAML file at `path` changes.

    Raises:
        InputError: where the file is no YAML, or an entry is unknown or of the wrong type.
    """
    return load_settings(path, base, hint=_HINT)


def set_entries(base: Recipe, settings: Sequence[str]) -> Recipe:
    """`base` with the changes ``name=value``.

    Raises:
        InputError: where one has no such form, or its name is unknown, or its value of the wrong type.
    """
    return set_settings(base, settings, example="learning_rate=3e-5", hint=_HINT)


_HINT = "see radiodino-train finetune --show for all of them"
