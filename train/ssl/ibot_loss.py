"""iBOT's loss: the student predicts, at masked patches, what the teacher says at the same unmasked patches.

The teacher's side is that of the CLS loss, on rows of masked patches: `dino_loss.teacher_probabilities` with a centre
of their own, moved by `dino_loss.updated_centre` after the loss, or `sinkhorn_knopp.sinkhorn_knopp`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from radiodino.runtime.errors import InputError

from .dino_loss import soft_cross_entropy


def patch_weights(masks: Tensor) -> Tensor:
    """For every masked patch 1 / (masked patches of its image), so that each image with masks counts the same.

    Args:
        masks: (I, P), bool, True where a patch is masked; I counts all global crops.

    Returns:
        (N,), float32, N = masks.sum(), in the order of `masks.flatten().nonzero()`.

    Raises:
        InputError: where the masks are not a table of bool.
    """
    if masks.ndim != 2 or masks.dtype != torch.bool:
        raise InputError(
            f"masks must be bool of shape (images, patches), found {masks.dtype} of shape {tuple(masks.shape)}"
        )
    counts = masks.sum(dim=1, keepdim=True).clamp(min=1)
    return (1.0 / counts).expand(masks.shape)[masks]


def ibot_loss(
    student_logits: Tensor,
    teacher_probabilities: Tensor,
    weights: Tensor,
    images: int,
    student_temperature: float = 0.1,
) -> Tensor:
    """Cross-entropy of masked patches, averaged over the patches of each image, then over all images.

    iBOT, section 3.1; DINOv2, section 4. As in the official code, an image without masks counts as one with loss 0,
    so the loss shrinks with the share of images that are masked. The official factors 2 (both global crops at once)
    and 1/2 (per global crop) cancel. Not twice differentiable.

    Args:
        student_logits: (N, K), floating point: the student's head at the masked patches of masked images.
        teacher_probabilities: (N, K), float32: the teacher's at the same patches of whole images, treated as constant.
        weights: (N,), float32, from `patch_weights`. Rows that only pad N to a fixed number have weight 0.
        images: I, the number of images in the batch, all global crops, with and without masks.
        student_temperature: above 0, dimensionless; official default 0.1.

    Returns:
        (), float32, at least 0; 0 where no patch is masked.

    Raises:
        InputError: where the shapes do not fit, or the temperature or the number of images is not above 0.
    """
    if (
        student_logits.ndim != 2
        or student_logits.shape != teacher_probabilities.shape
        or weights.shape != student_logits.shape[:1]
    ):
        raise InputError(
            f"iBOT's loss needs student logits and teacher probabilities (N, K) and weights (N,), found "
            f"{tuple(student_logits.shape)}, {tuple(teacher_probabilities.shape)} and {tuple(weights.shape)}"
        )
    if images < 1:
        raise InputError(f"iBOT's loss needs at least 1 image, not {images}")
    if not student_temperature > 0:
        raise InputError(f"the student's temperature must be above 0, found {student_temperature}")
    losses = soft_cross_entropy(student_logits[None], teacher_probabilities.detach()[None], student_temperature)[0]
    return (losses * weights).sum() / images
