"""Student and teacher: a backbone with a projection head each, DINOv2's with a mask token and a head for patches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from radiodino.runtime.variants import get_variant

from ..backbone import build_backbone
from ..ssl.block import compiled_block, run_block
from ..ssl.heads import ProjectionHead
from ..ssl.vit import forward_crops, forward_tokens
from .recipe import Recipe


class DinoNetwork(nn.Module):
    """A backbone with a head; the entries of its state dict are named as DINO's checkpoints name them."""

    def __init__(self, recipe: Recipe, drop_path: float) -> None:
        super().__init__()
        variant = get_variant(recipe.variant)
        uniform = recipe.method == "dinov2"
        self.backbone = build_backbone(
            variant, recipe.crops.global_size, drop_path=drop_path, drop_path_uniform=uniform
        )
        self.head = _head(recipe, variant.embedding_size)
        self.run_block = compiled_block() if recipe.compile else run_block

    def forward(self, crops: list[Tensor]) -> Tensor:
        """Logits (V, B, K) of all V crops, given as tensors (v, B, 3, S, S) of one size each."""
        logits: Tensor = self.head(self.cls_tokens(crops))
        return logits

    def cls_tokens(self, crops: list[Tensor]) -> Tensor:
        """CLS tokens (V, B, D) after the final norm."""
        tokens = forward_crops(self.backbone, [crop.flatten(0, 1) for crop in crops], self.run_block)
        return torch.cat([found.view(*crop.shape[:2], -1) for found, crop in zip(tokens, crops, strict=True)])


class Dinov2Outputs(NamedTuple):
    """What DINOv2's losses look at."""

    logits: Tensor
    """(V, B, K), of the CLS tokens of all crops, the two global ones first."""
    patch_logits: Tensor
    """(M, K), of the hidden patches of the global crops."""
    cls_tokens: Tensor
    """(2, B, D), of the global crops, before the head."""


class Dinov2Network(DinoNetwork):
    """DINO's network with a mask token, and with a head for patches where the recipe separates the two."""

    def __init__(self, recipe: Recipe, drop_path: float) -> None:
        super().__init__(recipe, drop_path)
        size = get_variant(recipe.variant).embedding_size
        self.mask_token = nn.Parameter(torch.zeros(1, size))
        self.ibot_head = _head(recipe, size) if recipe.patches.separate_head else None

    def forward(  # type: ignore[override]
        self, crops: list[Tensor], masks: Tensor, *, hide: bool = True
    ) -> Dinov2Outputs:
        """The outputs for crops as in `DinoNetwork.forward`.

        Args:
            crops: global crops (2, B, 3, S, S) first, then the local ones, if any.
            masks: (2 · B, N), bool: the patches of the global crops whose logits are asked for.
            hide: whether these are hidden from the backbone (the student's) or not (the teacher's).
        """
        wide = crops[0]
        tokens = forward_tokens(
            self.backbone,
            wide.flatten(0, 1),
            masks if hide else None,
            self.mask_token if hide else None,
            self.run_block,
        )
        cls = tokens[:, 0].view(*wide.shape[:2], -1)
        every = torch.cat([cls, self.cls_tokens(crops[1:])]) if len(crops) > 1 else cls
        patch_head = self.head if self.ibot_head is None else self.ibot_head
        return Dinov2Outputs(self.head(every), patch_head(tokens[:, 1:][masks]), cls)


def build_networks(recipe: Recipe) -> tuple[DinoNetwork, DinoNetwork]:
    """Student and teacher with the same random weights, drawn from the recipe's seed; the teacher does not learn."""
    kind = {"dino": DinoNetwork, "dinov2": Dinov2Network}[recipe.method]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        student, teacher = kind(recipe, recipe.drop_path), kind(recipe, 0.0)
        if recipe.method == "dino":  # as officially; timm starts it at 1e-6, as DINOv2 does
            nn.init.trunc_normal_(student.backbone.cls_token, std=0.02)  # type: ignore[arg-type]
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False)
    student.train()
    teacher.eval()
    return student, teacher


def _head(recipe: Recipe, size: int) -> ProjectionHead:
    head = recipe.head
    return ProjectionHead(
        size, head.out_dim, head.hidden_dim, head.bottleneck_dim, norm_last_layer=head.norm_last_layer
    )
