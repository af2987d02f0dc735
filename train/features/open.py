"""From the text after ``--weights`` to a source of embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import VARIANTS, Variant

from .exported import open_exported, refuse_other_size
from .pixels import PixelSource
from .source import FeatureSource

FORMS = (
    "a run folder or checkpoint file, published, demo, random, FILE.onnx (as radiodino-export writes it), "
    "timm:NAME (any timm backbone), preset:NAME (a rival of the paper's table 3), or pixels:32 (raw pixels)"
)


TIMM = ("timm:", "preset:")
"""How texts begin that name a model of timm."""


@dataclass(frozen=True)
class SourceOptions:
    """How a source is opened."""

    variant: Variant = VARIANTS["tiny"]
    """Of a Radio DINO backbone; timm's models, exported files and pixels are what they are."""
    image_size: int | None = None
    """Side in pixels at which images are decoded; None: the source's own, 224 for Radio DINO backbones."""
    accelerator: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    precision: str | None = None
    """``fp32`` or ``bf16`` (autocast); None: fp32, and for an exported file what it says of itself."""
    pretrained: bool = False
    """Whether timm's models get timm's weights; otherwise random ones."""
    seed: int = 0
    """Of random weights."""
    checkpoint_key: str | None = None
    """Take a checkpoint's backbone under this key (``student``); None: the teacher's."""
    cut: bool = False
    """Whether rows and columns that fill no patch are left out, as the official DINO code does, or refused."""


def open_source(text: str, options: SourceOptions) -> FeatureSource:
    """The source of embeddings that `text` names.

    Args:
        text: one of `FORMS`; ``./timm:x`` is a file of that name.
        options: see `SourceOptions`.

    Raises:
        RadioDinoError: of the kind that fits, where it cannot be found, read, or run as asked for.
    """
    if is_backbone(text):
        return _backbone(text, options)
    for prefix, opener in _PREFIXES.items():
        if text.startswith(prefix):
            return opener(text.removeprefix(prefix), options)
    return open_exported(text, options)


def is_backbone(text: str) -> bool:
    """Whether `text` names a Radio DINO backbone, rather than an exported file, a timm model or pixels."""
    return not (text.startswith(tuple(_PREFIXES)) or text.lower().endswith(".onnx"))


def has_fixed_size(text: str) -> bool:
    """Whether `text` names an exported file or pixels, which take images of one size alone."""
    return not is_backbone(text) and not text.startswith(TIMM)


def _backbone(text: str, options: SourceOptions) -> FeatureSource:
    require("train", "torch", "timm")
    from .backbone import open_backbone

    return open_backbone(text, options)


def _timm(text: str, options: SourceOptions) -> FeatureSource:
    require("train", "torch", "timm")
    from .timm_model import open_timm

    return open_timm(text, options)


def _preset(text: str, options: SourceOptions) -> FeatureSource:
    require("train", "torch", "timm")
    from .timm_model import open_preset

    return open_preset(text, options)


def _pixels(text: str, options: SourceOptions) -> FeatureSource:
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"pixels:{text} has no side in pixels: use pixels:32")
    source = PixelSource(int(text))
    refuse_other_size(f"pixels:{text}", source.image_size, options.image_size)
    return source


_PREFIXES: dict[str, Callable[[str, SourceOptions], FeatureSource]] = {
    "timm:": _timm,
    "preset:": _preset,
    "pixels:": _pixels,
}
