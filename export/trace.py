"""The PyTorch model as an ONNX graph in fp32."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from radiodino.runtime.variants import Variant

OPSET = 20
"""LayerNormalization (17) and Gelu (20) as one operator each; read by ONNX Runtime ≥ 1.17 and TensorRT ≥ 10."""

INPUT = "image"


class EmbeddingNetwork(nn.Module):
    """A backbone with the outputs that the exported file shall have.

    Args:
        backbone: a timm VisionTransformer without a head.
        outputs: of `radiodino.export.settings.OUTPUTS`, in order; the first is ``embedding``.
    """

    def __init__(self, backbone: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.outputs = outputs

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The named outputs for normalised images (B, 3, S, S)."""
        with cls_attention(self.backbone) as attention:
            tokens = self.backbone.forward_features(image)  # type: ignore[operator]  # (B, 1 + N, D), after the final norm
            embedding = self.backbone.forward_head(tokens)  # type: ignore[operator]
        found = {"embedding": embedding, "patch_tokens": tokens[:, 1:], "attention": attention[-1]}
        return tuple(found[name] for name in self.outputs)


def output_shapes(variant: Variant, image_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each possible output; -1 is the batch."""
    patches = variant.grid(image_size) ** 2
    return {
        "embedding": (-1, variant.embedding_size),
        "patch_tokens": (-1, patches, variant.embedding_size),
        "attention": (-1, variant.heads, patches),
    }


@contextlib.contextmanager
def cls_attention(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the last block's attention of the CLS query to the patches, (B, heads, N), during a forward pass.

    The rows of the softmax sum to 1 over CLS and patches; the CLS column is left out, as in DINO's visualisations.
    """
    collected: list[Tensor] = []
    attention = backbone.blocks[-1].attn  # type: ignore[union-attr, index]
    hook = attention.attn_drop.register_forward_hook(
        lambda _module, _args, output: collected.append(output[:, :, 0, 1:])
    )
    fused, attention.fused_attn = attention.fused_attn, False
    try:
        yield collected
    finally:
        attention.fused_attn = fused
        hook.remove()


def trace(backbone: nn.Module, image_size: int, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """Trace `backbone` with a dynamic batch and a fixed image size.

    Args:
        backbone: timm VisionTransformer in eval mode, fp32.
        image_size: side in pixels.
        outputs: of `radiodino.export.settings.OUTPUTS`, the first ``embedding``.

    Returns:
        ONNX model, fp32 throughout, input ``image`` (batch, 3, S, S), weights inside.
    """
    network = EmbeddingNetwork(backbone, outputs).eval()
    fused = [(block.attn, block.attn.fused_attn) for block in backbone.blocks]  # type: ignore[union-attr]
    for attention, _ in fused:
        attention.fused_attn = False  # the fused operator would scale queries and keys separately
    example = torch.zeros(2, 3, image_size, image_size)  # a batch of 1 would be taken for a constant
    try:
        with torch.no_grad(), _quiet_exporter():
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
    finally:
        for attention, was_fused in fused:
            attention.fused_attn = was_fused
    if program is None:  # only where the exporter was asked to write a file itself
        raise RuntimeError("the exporter returned no model")
    return program.model_proto


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
