"""The rivals in the paper's Table 3 (and DINO base of section 7.3) as timm models.

The paper names the methods and sizes, not the checkpoints: which of timm's is taken is a choice, made here once.
CLIP's own weights need the quick GELU they were trained with. EVA's large model exists in timm fine-tuned only, at
196 px. SAM is the encoder of Segment Anything, as the paper cites it, at 1024 px. With ``--image-size 224`` those with
another size of their own are run at 224 px.
"""

from __future__ import annotations

from dataclasses import dataclass

from radiodino.runtime.errors import InputError


@dataclass(frozen=True)
class Preset:
    """One model the paper compares with."""

    name: str
    paper_row: str
    """As the paper's table calls it."""
    model: str
    """timm's name with the tag of the pretrained weights."""


# fmt: off
_RIVALS = (
    Preset("clip-b16-in1k", "ViT base CLIP ImageNet finetuned", "vit_base_patch16_clip_224.openai_ft_in1k"),
    Preset("mae-b16",       "ViT base MAE",                     "vit_base_patch16_224.mae"),
    Preset("sam-b16",       "ViT base SAM",                     "samvit_base_patch16.sa1b"),
    Preset("eva-l14",       "ViT large EVA",                    "eva_large_patch14_196.in22k_ft_in22k_in1k"),
    Preset("ijepa-h14",     "ViT huge I-JEPA",                  "vit_huge_patch14_gap_224.in22k_ijepa"),
    Preset("siglip-b16",    "ViT base SigLIP",                  "vit_base_patch16_siglip_224.webli"),
    Preset("clip-b16",      "ViT base CLIP",                    "vit_base_patch16_clip_quickgelu_224.openai"),
    Preset("dinov2-s14",    "ViT small DINOv2",                 "vit_small_patch14_dinov2.lvd142m"),
    Preset("resnet50",      "ResNet50 ImageNet finetuned",      "resnet50.a1_in1k"),
    Preset("dino-s16",      "ViT small DINO",                   "vit_small_patch16_224.dino"),
    Preset("dino-b16",      "ViT base DINO",                    "vit_base_patch16_224.dino"),
)
# fmt: on

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _RIVALS}


def get_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        InputError: where there is none, naming those there are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"there is no preset '{name}': choose one of {', '.join(PRESETS)}") from None
