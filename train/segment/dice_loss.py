"""The soft Dice loss, for each image by itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def dice_losses(logits: Tensor, masks: Tensor, smooth: float = 1.0) -> Tensor:
    """1 − (2 Σ p g + s) / (Σ p + Σ g + s) of each image, summed over its pixels, with p = sigmoid(logits).

    `smooth`, s, is in pixels. It defines the loss where both are empty (0), makes it fall smoothly to that as an
    unwanted prediction vanishes, and is nothing beside a lesion of thousands of pixels. Where the mask is empty the
    loss is 1 − s / (Σ p + s), whose gradient is tiny until the prediction has almost vanished: images without a lesion
    teach little through it (`SegmentRecipe.cross_entropy`).

    Args:
        logits: (N, H, W), floating point; computed in float32.
        masks: (N, H, W), 0 or 1, floating point.
        smooth: above 0.

    Returns:
        (N,), float32, in 0..1.
    """
    probabilities = logits.float().sigmoid().flatten(1)
    truth = masks.float().flatten(1)
    both = (probabilities * truth).sum(dim=1)
    return 1 - (2 * both + smooth) / (probabilities.sum(dim=1) + truth.sum(dim=1) + smooth)


def segmentation_loss(logits: Tensor, masks: Tensor, *, smooth: float = 1.0, cross_entropy: float = 0.0) -> Tensor:
    """The mean over images of the Dice loss, plus `cross_entropy` times the mean binary cross-entropy of a pixel.

    Args:
        logits: see `dice_losses`.
        masks: likewise.
        smooth: likewise.
        cross_entropy: 0 for the paper's loss.
    """
    loss = dice_losses(logits, masks, smooth).mean()
    if cross_entropy:
        loss = loss + cross_entropy * functional.binary_cross_entropy_with_logits(logits.float(), masks.float())
    return loss
