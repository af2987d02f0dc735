"""The PyTorch original as it is measured: eager modules as they were trained, the backbone run once for all heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:  # a process that only runs the network needs nothing of an export
    from radiodino.export.original import Original


class OriginalNetwork(nn.Module):
    """Normalised images (B, 3, S, S), float32, to the outputs of the task, in the order of `outputs`.

    Nothing is folded, traced or left out: timm's fused attention, batch norm in the head, every token through the last
    block.
    """

    def __init__(self, original: Original) -> None:
        super().__init__()
        self.backbone = original.backbone
        self.head = None if original.classifier is None else original.classifier.head
        self.temperature = original.heads.temperature
        self.segment_head = None if original.segmenter is None else original.segmenter.head

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it returns."""
        classes = ("logits", "probabilities") if self.head is not None else ()
        return ("embedding", *classes, *(("mask",) if self.segment_head is not None else ()))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        tokens = self.backbone.forward_features(images)  # type: ignore[operator]
        found: list[Tensor] = [self.backbone.forward_head(tokens)]  # type: ignore[operator]
        if self.head is not None:
            logits = self.head(found[0])
            found += [logits, (logits / self.temperature).softmax(dim=1)]
        if self.segment_head is not None:
            found.append(self.segment_head(tokens[:, 1:], images).sigmoid())
        return tuple(found)
