"""The last MLP of a network learns to give what a map makes of its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..pretrain.sampler import generator

_BATCH = 256
_RATE = 2e-3
_ORDER = 8  # a purpose of random numbers


def absorb(
    backbone: nn.Module,
    entering: Tensor,
    wanted: Tensor,
    *,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Train the MLP and the two norms around it, in place, on the CPU in float32.

    A linear map of what leaves the network is nearly one of what enters its last MLP, and an MLP can learn it: the
    architecture stays as it is, and so does its cost. AdamW with one cycle of the learning rate, on 1 - cosine.

    Args:
        backbone: see `radiodino.train.whiten.tokens.gather_tokens`.
        entering: (N, T, D), tokens before the MLP's norm.
        wanted: (N, T, D), of length 1: what shall leave the final norm, but for its length.
        steps: of 256 images each.
        seed: of their order.
        progress: is told (done, total) steps.
    """
    learning = [*_tail(backbone)[0].parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(learning, lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    draws = generator(seed, _ORDER)
    for step in range(steps):
        chosen = torch.randint(len(entering), (_BATCH,), generator=draws)
        loss = (1 - (leave(backbone, entering[chosen]) * wanted[chosen]).sum(dim=-1)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    for parameter in learning:
        parameter.requires_grad_(False)


def leave(backbone: nn.Module, entering: Tensor) -> Tensor:
    """What leaves the network, of length 1, for tokens (…, D) that enter its last MLP."""
    _, forward = _tail(backbone)
    return functional.normalize(forward(entering), dim=-1)


def _tail(backbone: nn.Module) -> tuple[nn.ModuleList, Callable[[Tensor], Tensor]]:
    """The modules that learn, and what they and the residual connection make of tokens."""
    vit: Any = backbone
    block = vit.blocks[-1]

    def forward(tokens: Tensor) -> Tensor:
        found: Tensor = vit.norm(tokens + block.ls2(block.mlp(block.norm2(tokens))))
        return found

    return nn.ModuleList([block.norm2, block.mlp, vit.norm]), forward
