"""Every number of a pretraining run, with the official defaults and the paper's presets."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import get_variant

from ..settings import ANY, changed_settings, check_settings, load_settings, set_settings
from ..settings import as_document as as_document  # part of what a recipe offers
from ..ssl.crop_settings import DINOV2_CROPS, CropSettings


@dataclass(frozen=True, kw_only=True)
class HeadRecipe:
    """The projection head."""

    out_dim: int = 65536
    hidden_dim: int = 2048
    bottleneck_dim: int = 256
    norm_last_layer: bool = True
    """Whether the magnitude of the last layer's weights is frozen at 1."""


@dataclass(frozen=True, kw_only=True)
class TeacherRecipe:
    """The teacher's momentum, temperature and centre."""

    momentum: float = 0.996
    """Of the EMA at the start; it rises to 1 along a cosine, per step."""
    temperature: float = 0.04
    warmup_temperature: float = 0.04
    warmup_temperature_epochs: int = 0
    """Epochs over which the temperature rises linearly from `warmup_temperature`; 30 and 0.07 in the boosted recipe."""
    centre_momentum: float = 0.9
    student_temperature: float = 0.1


@dataclass(frozen=True, kw_only=True)
class OptimiserRecipe:
    """AdamW and its schedules."""

    learning_rate: float = 3e-4
    """Before scaling by the batch (paper, section 4: 3e-4; see `scaling`)."""
    scaling: str = "linear"
    """``linear``: × batch / 256 as DINO's own code does with the number it is given; ``sqrt``: × √(batch / 1024) as
    DINOv2's; ``none``. The paper does not say whether its 3e-4 is before or after; it used the official code, so before
    is assumed."""
    minimum_learning_rate: float = 1e-6
    warmup_epochs: int = 10
    weight_decay: float = 0.04
    final_weight_decay: float = 0.4
    clip: float = 3.0
    """Largest gradient norm: of each parameter (DINO), of each sub-module (DINOv2); 0 clips nothing."""
    freeze_last_layer_epochs: int = 1
    """Epochs in which the head's last layer does not learn."""
    layer_decay: float = 1.0
    """Factor on the learning rate per layer from the top; DINOv2: 0.9."""
    patch_embed_factor: float = 1.0
    """Factor on the learning rate of the patch embedding; DINOv2: 0.2."""


@dataclass(frozen=True, kw_only=True)
class PatchRecipe:
    """DINOv2's terms beside the image-level one."""

    ibot_weight: float = 1.0
    mask_probability: float = 0.5
    """Share of the images that are masked."""
    mask_ratio: tuple[float, float] = (0.1, 0.5)
    separate_head: bool = False
    koleo_weight: float = 0.1
    centring: str = "centring"
    """``centring`` or ``sinkhorn_knopp``."""


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """A part of a run with smaller crops: most is learnt from few tokens, at a fraction of the time."""

    until: float
    """Share of the run's steps after which it ends."""
    global_size: int
    """Instead of `CropSettings.global_size`, in pixels."""
    local_size: int
    """Instead of `CropSettings.local_size`, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One pretraining run."""

    method: str = "dino"
    variant: str = "tiny"
    epochs: int = 200
    batch_size: int = 512
    """Images per step over all processes together."""
    drop_path: float = 0.1
    """Of the student only."""
    precision: str = "bf16-mixed"
    """As Lightning Fabric names them: ``32-true`` or ``bf16-mixed``."""
    seed: int = 0
    compile: bool = False
    """Whether torch.compile fuses the networks; pays on a GPU after some minutes."""
    augment: str = "device"
    """``device``: crops and colour in batches on the device; ``classic``: one by one with torchvision."""
    cache_size: int = 256
    """Side in pixels of the decoded images that are kept for cropping."""
    checkpoint_minutes: float = 15.0
    balance: float = 0.0
    """How far the sources (`radiodino.train.pretrain.sampler.Balance`) are evened out: a source of n images is drawn in
    proportion to n to the power of 1 - this; 0 draws every image once per epoch, 1 from every source equally."""
    stages: tuple[StageRecipe, ...] = ()
    """Progressive resolution: the run begins with these and ends with `crops`."""
    crops: CropSettings = field(default_factory=CropSettings)
    head: HeadRecipe = field(default_factory=HeadRecipe)
    teacher: TeacherRecipe = field(default_factory=TeacherRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    patches: PatchRecipe = field(default_factory=PatchRecipe)

    def __post_init__(self) -> None:
        patch = get_variant(self.variant).patch
        self.crops.check_patch(patch)
        ends = [0.0, *(stage.until for stage in self.stages), 1.0]
        if any(first >= second for first, second in itertools.pairwise(ends)):
            raise InputError(f"the stages must end one after the other, between 0 and 1, not at {ends[1:-1]}")
        for stage in self.stages:
            self._crops_in(stage).check_patch(patch)
        check_settings(self, _CHOICES, _RANGES)

    def crops_at(self, progress: float) -> CropSettings:
        """The crops when the share `progress` of the run's steps is done."""
        current = next((stage for stage in self.stages if progress < stage.until), None)
        return self.crops if current is None else self._crops_in(current)

    def _crops_in(self, stage: StageRecipe) -> CropSettings:
        return replace(self.crops, global_size=stage.global_size, local_size=stage.local_size)

    @property
    def peak_learning_rate(self) -> float:
        """After scaling by the batch."""
        factors = {"none": 1.0, "linear": self.batch_size / 256, "sqrt": math.sqrt(self.batch_size / 1024)}
        return self.optimiser.learning_rate * factors[self.optimiser.scaling]


_CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("dino", "dinov2"),
    "precision": ("32-true", "bf16-mixed"),
    "augment": ("device", "classic"),
    "optimiser.scaling": ("linear", "sqrt", "none"),
    "patches.centring": ("centring", "sinkhorn_knopp"),
}

_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, ANY),
    "batch_size": (2, ANY),
    "drop_path": (0, 0.99),
    "cache_size": (8, ANY),
    "checkpoint_minutes": (0, ANY),
    "crops.local_count": (0, ANY),
    "head.out_dim": (2, ANY),
    "head.hidden_dim": (1, ANY),
    "head.bottleneck_dim": (1, ANY),
    "teacher.momentum": (0, 1),
    "teacher.temperature": (1e-3, 1),
    "teacher.warmup_temperature": (1e-3, 1),
    "teacher.centre_momentum": (0, 1),
    "teacher.student_temperature": (1e-3, 1),
    "optimiser.learning_rate": (0, ANY),
    "optimiser.warmup_epochs": (0, ANY),
    "optimiser.clip": (0, ANY),
    "patches.mask_probability": (0, 1),
    "balance": (0, 1),
}

_BATCH = {"tiny": 512, "tiny-sp": 170, "small": 256, "small-sp": 85, "base": 128, "dinov2-small": 128}
"""Paper, section 4: 512, 256 and 128, divided by 3 for patch 8; read as images over both of its GPUs together."""


def preset(method: str, variant: str) -> Recipe:
    """The paper's recipe: learning rate 3e-4, 200 epochs, the batch of the variant, official defaults elsewhere.

    Args:
        method: ``dino`` or ``dinov2``.
        variant: of `radiodino.runtime.variants.VARIANTS`.

    Raises:
        InputError: where there is no such method or variant.
    """
    patch = get_variant(variant).patch
    recipe = Recipe(
        method=method,
        variant=variant,
        batch_size=_BATCH.get(variant, 256),
        crops=CropSettings(local_size=98 if patch == 14 else 96),
    )
    if method != "dinov2":
        return recipe
    return replace(  # ssl_default_config.yaml, where it differs from DINO
        recipe,
        drop_path=0.3,
        crops=replace(DINOV2_CROPS, local_size=recipe.crops.local_size),
        teacher=TeacherRecipe(momentum=0.992, temperature=0.07, warmup_temperature_epochs=30),
        optimiser=OptimiserRecipe(scaling="sqrt", layer_decay=0.9, patch_embed_factor=0.2),
    )


def load_recipe(path: Path, base: Recipe) -> Recipe:
    """`base` with what the YAML file at `path` changes.

    Raises:
        InputError: where the file is no YAML, or an entry is unknown or of the wrong type.
    """
    return load_settings(path, base, hint=_HINT)


def set_entries(base: Recipe, settings: list[str]) -> Recipe:
    """`base` with the changes ``name=value``, for example ``teacher.temperature=0.07``.

    Raises:
        InputError: where one has no such form, or its name is unknown, or its value of the wrong type.
    """
    return set_settings(base, settings, example="teacher.temperature=0.07", hint=_HINT)


def changed(base: Recipe, changes: object, where: str) -> Recipe:
    """`base` with a part of its entries changed.

    Raises:
        InputError: where an entry is unknown or of the wrong type.
    """
    return changed_settings(base, changes, where, hint=_HINT)


_HINT = "see radiodino-train pretrain --show for all of them"
