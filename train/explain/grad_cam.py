"""Grad-CAM for a fine-tuned vision transformer, and how well it meets a lesion's outline (paper, section 7.4).

Selvaraju et al. 2017, on the layer that pytorch-grad-cam recommends for vision transformers: the tokens after the first
norm of the last block, patches alone. The paper names neither the layer nor what its "fixed threshold of 20 %" is a
share of. Here it is 20 % of the map's own maximum, in the way of Selvaraju et al. (who took 15 % for localisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from radiodino.runtime.errors import InputError

from .network_input import check_images

PAPER_THRESHOLD = 0.2


@dataclass(frozen=True)
class GradCam:
    """Grad-CAM of some images."""

    maps: Tensor
    """(N, S, S), float32, in 0..1, of the images' size; 1 at each map's maximum. All 0 where no patch speaks for the
    class (`silent`)."""
    classes: Tensor
    """(N,), int64: the class that each map is about."""
    probabilities: Tensor
    """(N, K), float32: softmax of the logits."""

    @property
    def silent(self) -> Tensor:
        """(N,), bool: maps that are 0 everywhere."""
        return self.maps.amax(dim=(1, 2)) == 0


def grad_cam(classifier: nn.Module, images: Tensor, classes: Tensor | None = None) -> GradCam:
    """Which patches speak for a class.

    The activations A are the patch tokens after the first norm of the last block; the weight of each channel is the
    mean over the patches of the gradient of the class's logit; the map is ReLU(Σ weight · A), upsampled bilinearly to
    the images and divided by its maximum. The gradient stops at A, so that a frozen backbone serves as well, and no
    gradient of a parameter is touched.

    Args:
        classifier: from images (N, 3, S, S) to logits (N, K), in evaluation mode, with a ``backbone`` of
            `radiodino.train.backbone.build_backbone`.
        images: (N, 3, S, S), float32, normalised, S as the backbone was built for; on its device.
        classes: (N,), int64: the class to explain for each image; None for the one with the largest logit.

    Raises:
        InputError: where the images do not fit, there is no such class, or the classifier is in training mode.
    """
    backbone: Any = classifier.backbone
    grid = check_images(backbone, images)
    if classifier.training:
        raise InputError("Grad-CAM needs a classifier in evaluation mode, found training mode: call .eval()")
    leaves: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    handle = backbone.blocks[-1].norm1.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            logits: Tensor = classifier(images)
            found = logits.detach().argmax(1) if classes is None else classes.to(logits.device)
            if found.shape != logits.shape[:1] or not bool(((found >= 0) & (found < logits.shape[1])).all()):
                raise InputError(
                    f"expected for each of {len(logits)} images a class from 0 to {logits.shape[1] - 1}, found "
                    f"{found.tolist()}"
                )
            (gradient,) = torch.autograd.grad(logits.gather(1, found[:, None]).sum(), leaves[0])
    finally:
        handle.remove()
    activations, slopes = leaves[0].detach()[:, 1:], gradient[:, 1:]  # without the CLS token
    weights = slopes.mean(dim=1, keepdim=True)  # (N, 1, D)
    coarse = functional.relu((weights * activations).sum(-1)).reshape(-1, 1, grid, grid)
    maps = functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    peaks = maps.amax(dim=(1, 2), keepdim=True)
    maps = torch.where(peaks > 0, maps / peaks, torch.zeros_like(maps))
    return GradCam(maps.float(), found, logits.detach().float().softmax(1))


def check_threshold(threshold: float) -> None:
    """See that `threshold` is a share.

    Raises:
        InputError: where it is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"Grad-CAM's threshold must be above 0 and at most 1, found {threshold:g}: the paper's is 0.2")


def threshold_mask(maps: Tensor, threshold: float = PAPER_THRESHOLD) -> Tensor:
    """Where a map is at least `threshold` of its own maximum; Dice is `radiodino.train.segment.metrics.overlap` of it.

    Args:
        maps: (..., S, S), at least 0.
        threshold: a share above 0 and at most 1; 0.2 in the paper.

    Returns:
        bool, of the shape of `maps`; False everywhere in a map that is 0 everywhere.

    Raises:
        InputError: where the threshold is no such share.
    """
    check_threshold(threshold)
    peaks = maps.amax(dim=(-2, -1), keepdim=True)
    return (maps >= threshold * peaks) & (peaks > 0)
