"""Every number of the training of segmentation heads, with the paper's as defaults for its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radiodino.runtime.errors import InputError

from ..settings import ANY, as_document, check_settings, load_settings, set_settings


@dataclass(frozen=True, kw_only=True)
class ViewRecipe:
    """The versions of a training image. The paper does not say whether it had any."""

    count: int = 8
    """How many versions of each training image the frozen backbone is run on, once, before training: as it is, flipped,
    and others at random; each epoch takes the next. 1: the images as they are. 0: a new version in every epoch, the
    backbone run in every step."""
    zoom: float = 1.25
    """Random versions are scaled by 1 / zoom to zoom."""
    shift: float = 0.1
    """And moved by up to this share of the side along each axis."""
    brightness: float = 0.2
    """And their brightness and contrast multiplied by 1 - this to 1 + this."""

    def __post_init__(self) -> None:
        check_settings(self, {}, {"count": (0, ANY), "zoom": (1, 4), "shift": (0, 0.5), "brightness": (0, 0.9)})


@dataclass(frozen=True, kw_only=True)
class HeadRecipe:
    """How a head learns; the defaults are the paper's (section 7.2: as the fine-tuning of section 4.1, batch 16)."""

    epochs: int = 30
    """At most, warm-up included."""
    batch_size: int = 16
    """Images per step; the last step of an epoch takes those that are left."""
    micro_batch: int = 0
    """Images per pass where a whole batch needs more memory than there is; the gradients of a step's passes are added
    up, and batch norm sees each pass by itself. 0: the whole batch at once."""
    learning_rate: float = 1e-4
    """After the warm-up; from there it falls to 0 along half a cosine, per step."""
    warmup_learning_rate: float = 5e-6
    """Constant over the warm-up."""
    warmup_epochs: int = 5
    weight_decay: float = 0.01
    """Of all parameters; the paper excepts none."""
    clip: float = 1.0
    """Largest norm of all gradients together; 0 clips nothing."""
    patience: int = 10
    """Epochs without a lower validation loss after which training ends."""
    smooth: float = 1.0
    """Of the Dice loss, in pixels; the paper does not say."""
    cross_entropy: float = 0.0
    """Weight of the pixels' cross-entropy beside the Dice loss; the paper has none."""

    def __post_init__(self) -> None:
        check_settings(self, {}, _RANGES)
        if self.warmup_epochs > self.epochs:
            raise InputError(
                f"the warm-up of {self.warmup_epochs} epochs is longer than the training of {self.epochs}: change "
                "warmup_epochs or epochs"
            )

    @property
    def minimum_learning_rate(self) -> float:
        """Where the cosine would arrive one step after the last."""
        return 0.0


_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, ANY),
    "batch_size": (1, ANY),
    "micro_batch": (0, ANY),
    "learning_rate": (0, ANY),
    "warmup_learning_rate": (0, ANY),
    "warmup_epochs": (0, ANY),
    "weight_decay": (0, ANY),
    "clip": (0, ANY),
    "patience": (1, ANY),
    "smooth": (1e-6, ANY),
    "cross_entropy": (0, ANY),
}

LITE = HeadRecipe(
    epochs=60,
    learning_rate=2e-3,
    warmup_learning_rate=1e-4,
    warmup_epochs=2,
    patience=20,
    cross_entropy=1.0,
)
"""Of the lite head, our own: an epoch costs little, so it learns for longer, and faster, since it starts from nothing;
cross-entropy teaches it that there may be no lesion."""


@dataclass(frozen=True, kw_only=True)
class SegmentRecipe:
    """One evaluation by segmentation."""

    image_size: int = 448
    """Side in pixels, a multiple of the variant's patch."""
    precision: str = "32-true"
    """Of the training, as Lightning Fabric names them: ``32-true`` or ``bf16-mixed``. Validation and test are always
    computed in float32."""
    seed: int = 0
    """Of the heads' first weights, the order of the images and their versions."""
    views: ViewRecipe = field(default_factory=ViewRecipe)
    paper: HeadRecipe = field(default_factory=HeadRecipe)
    lite: HeadRecipe = LITE

    def __post_init__(self) -> None:
        check_settings(self, {"precision": ("32-true", "bf16-mixed")}, {"image_size": (1, ANY), "seed": (0, 2**32 - 1)})

    def of(self, head: str) -> HeadRecipe:
        """The part of the head called `head`."""
        found: HeadRecipe = getattr(self, head)
        return found

    def document_of(self, head: str) -> dict[str, Any]:
        """What concerns the head called `head`, in plain types."""
        document = as_document(self)
        return {name: value for name, value in document.items() if name == head or name not in _HEADS}


_HEADS = ("paper", "lite")


def resolve(
    heads: Sequence[str],
    *,
    config: Path | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    batch_size: int | None = None,
    **options: int | str | None,
) -> SegmentRecipe:
    """The recipe: the presets, over them a YAML file, over that settings, over those options.

    Args:
        heads: those that `epochs` and `batch_size` are meant for.
        config: a YAML file.
        settings: ``name=value`` each, e.g. ``lite.epochs=100``.
        epochs: of each of `heads`; None changes nothing, as for all that follow.
        batch_size: likewise.
        options: entries of `SegmentRecipe`.

    Raises:
        InputError: where the file is no YAML, or an entry is unknown, of the wrong type or out of range.
    """
    recipe = SegmentRecipe()
    if config:
        recipe = load_settings(config, recipe, hint=_HINT)
    recipe = set_settings(recipe, settings, example="lite.epochs=100", hint=_HINT)
    given = {"epochs": epochs, "batch_size": batch_size}
    of_heads: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    changes |= {head: dataclasses.replace(recipe.of(head), **of_heads) for head in heads}
    return dataclasses.replace(recipe, **changes)


_HINT = "see radiodino-train segment --show for all of them"
