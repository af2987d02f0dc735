"""Multiply-adds of the PyTorch original, counted by fvcore."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn


def multiply_adds(network: nn.Module, image_size: int) -> int:
    """Of `network` for one image, as fvcore counts them and papers state them.

    Beside matrix products and convolutions that is 5 for each value that a LayerNorm gives, 0.4 % of a backbone.
    Attention is counted too: fvcore does not see into timm's fused operator, so that it is taken apart meanwhile (4.61
    against 4.25 GMACs for small is that mistake).

    Args:
        network: in evaluation mode, on the CPU in fp32, with `backbone` a timm VisionTransformer.
        image_size: side in pixels.
    """
    with warnings.catch_warnings():  # of what fvcore itself imports
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis
    blocks: Any = network.backbone.blocks  # type: ignore[union-attr]
    fused = [block.attn.fused_attn for block in blocks]
    logger = logging.getLogger("fvcore.nn.jit_analysis")  # tells of every addition that it does not count
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        for block in blocks:
            block.attn.fused_attn = False
        count = FlopCountAnalysis(network, torch.zeros(1, 3, image_size, image_size))
        count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(count.total())
    finally:
        logger.setLevel(level)
        for block, was in zip(blocks, fused, strict=True):
            block.attn.fused_attn = was


def parameters(network: nn.Module) -> int:
    """Numbers that were learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
