"""A backbone with a linear head on its CLS token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..pretrain.sampler import generator


class Classifier(nn.Module):
    """Images (N, 3, S, S), float32, normalised, to logits (N, C).

    Args:
        backbone: of `radiodino.train.backbone.build_backbone`.
        head: from the embedding to the classes.
    """

    def __init__(self, backbone: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, C), before softmax."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def new_head(embedding_size: int, classes: int, *numbers: int) -> nn.Linear:
    """A head as timm starts it: weights normal with deviation 0.02 within ±2, no bias.

    PyTorch's random state is left as it was.

    Args:
        embedding_size: D.
        classes: C.
        numbers: name the random stream, see `radiodino.train.pretrain.sampler.seed_of`.
    """
    with torch.random.fork_rng(devices=[]):
        head = nn.Linear(embedding_size, classes)
    with torch.no_grad():
        nn.init.trunc_normal_(head.weight, std=0.02, generator=generator(*numbers))
        nn.init.zeros_(head.bias)
    return head
