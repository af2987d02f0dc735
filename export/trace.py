"""The PyTorch model as an ONNX graph in fp32."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import nn

from .cls_query import cls_query_only
from .task_network import NO_HEADS, Heads, TaskNetwork

OPSET = 20
"""LayerNormalization (17) and Gelu (20) as one operator each; read by ONNX Runtime ≥ 1.17 and TensorRT ≥ 10."""

INPUT = "image"


def trace(backbone: nn.Module, image_size: int, outputs: tuple[str, ...], heads: Heads = NO_HEADS) -> onnx.ModelProto:
    """Trace `backbone` and `heads` with a dynamic batch and a fixed image size.

    Args:
        backbone: timm VisionTransformer in eval mode, fp32.
        image_size: side in pixels.
        outputs: of `radiodino.export.settings.OUTPUTS`, in their order; where they allow it the last block is computed
            for the CLS query alone.
        heads: what they need beside the backbone.

    Returns:
        ONNX model, fp32 throughout, input ``image`` (batch, 3, S, S), weights inside.
    """
    network = TaskNetwork(backbone, outputs, heads).eval()
    example = torch.zeros(2, 3, image_size, image_size)  # a batch of 1 would be taken for a constant
    with torch.no_grad(), _unfused_attention(backbone), cls_query_only(backbone, outputs), _quiet_exporter():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            optimize=True,
            external_data=False,
            verbose=False,
        )
    if program is None:  # only where the exporter was asked to write a file itself
        raise RuntimeError("the exporter returned no model")
    return program.model_proto


@contextlib.contextmanager
def _unfused_attention(backbone: nn.Module) -> Iterator[None]:
    """The fused operator would scale queries and keys separately."""
    fused = [(block.attn, block.attn.fused_attn) for block in backbone.blocks]  # type: ignore[union-attr]
    for attention, _ in fused:
        attention.fused_attn = False
    try:
        yield
    finally:
        for attention, was_fused in fused:
            attention.fused_attn = was_fused


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter reports its own progress and deprecations; ours is the only voice the user shall hear."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
