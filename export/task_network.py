"""What is traced: one backbone, the heads on it, and the outputs that the file shall have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from radiodino.runtime.variants import Variant
from radiodino.train.segment.conv_norm import fold_batch_norm


@dataclass(frozen=True)
class Heads:
    """The heads on one backbone, None where there is none."""

    classifier: nn.Linear | None = None
    """From the embedding to the classes."""
    temperature: float = 1.0
    """Of the classifier's probabilities."""
    segmenter: nn.Module | None = None
    """Of `radiodino.train.segment.heads.HEADS`."""

    @property
    def classes(self) -> int:
        """How many there are; 0 without a classifier."""
        return self.classifier.out_features if self.classifier is not None else 0


NO_HEADS = Heads()


class Calibration(nn.Module):
    """Logits (B, C) to probabilities softmax(logits / temperature); a module, so that its operators have a name.

    Args:
        temperature: above 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Probabilities (B, C), each row's sum being 1."""
        return (logits / self.temperature).softmax(dim=1)


class TaskNetwork(nn.Module):
    """A backbone with the outputs that the exported file shall have; the backbone runs once for all of them.

    Args:
        backbone: a timm VisionTransformer without a head.
        outputs: of `radiodino.export.settings.OUTPUTS`, in order.
        heads: what they need beside the backbone; batch norm is folded into the convolutions of a copy.
    """

    def __init__(self, backbone: nn.Module, outputs: tuple[str, ...], heads: Heads = NO_HEADS) -> None:
        super().__init__()
        self.backbone = backbone
        self.outputs = outputs
        self.head = heads.classifier
        self.calibration = Calibration(heads.temperature)
        self.segment_head = None if heads.segmenter is None else fold_batch_norm(heads.segmenter)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The named outputs for normalised images (B, 3, S, S)."""
        with cls_attention(self.backbone) as attention:
            tokens = self.backbone.forward_features(image)  # type: ignore[operator]  # (B, 1 + N, D), after the final norm
            embedding = self.backbone.forward_head(tokens)  # type: ignore[operator]
        patches = tokens[:, 1:]
        found = {"embedding": embedding, "patch_tokens": patches, "attention": attention[-1]}
        if self.head is not None:
            found["logits"] = self.head(embedding)
            found["probabilities"] = self.calibration(found["logits"])
            found["cam"] = functional.linear(patches, self.head.weight).transpose(1, 2)
        if self.segment_head is not None:
            found["mask"] = self.segment_head(patches, image).sigmoid()
        return tuple(found[name] for name in self.outputs)


def output_shapes(variant: Variant, image_size: int, classes: int = 0) -> dict[str, tuple[int, ...]]:
    """The shape of each possible output; -1 is the batch.

    Args:
        variant: of the backbone.
        image_size: side in pixels.
        classes: of the classification head, where there is one.
    """
    patches = variant.grid(image_size) ** 2
    return {
        "embedding": (-1, variant.embedding_size),
        "logits": (-1, classes),
        "probabilities": (-1, classes),
        "mask": (-1, image_size, image_size),
        "patch_tokens": (-1, patches, variant.embedding_size),
        "attention": (-1, variant.heads, patches),
        "cam": (-1, classes, patches),
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
