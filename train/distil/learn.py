"""The last blocks of a network learn to give wanted embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..pretrain.sampler import generator
from ..ssl.block import draw_kept, run_block
from ..ssl.schedules import iteration_cosine_schedule

BATCH = 64
_RATE, _LEAST_RATE, _WARMUP = 1e-3, 1e-6, 50
_ORDER = 8  # a purpose of random numbers


def learn(
    backbone: nn.Module,
    blocks: int,
    entering: Tensor,
    wanted: Tensor,
    *,
    steps: int,
    seed: int,
    device: torch.device,
    autocast: bool,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Train the last blocks and the final norm, in place, on 1 - cosine, with AdamW and a cosine schedule.

    Args:
        backbone: evaluating, on `device`; what does not learn is not run.
        blocks: how many of its blocks learn.
        entering: (N, 1 + P, D), tokens that enter them.
        wanted: (N, D), of length 1.
        steps: of `BATCH` images each.
        seed: of their order.
        device: where to compute.
        autocast: whether in bf16.
        progress: is told (done, total) steps.
    """
    vit: Any = backbone
    learning = [*vit.blocks[-blocks:].parameters(), *vit.norm.parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(learning, lr=_RATE, weight_decay=0.02)
    draws = generator(seed, _ORDER)
    rates = iteration_cosine_schedule(_RATE, _LEAST_RATE, steps, min(_WARMUP, steps // 4))
    for step in range(steps):
        chosen = torch.randint(len(entering), (BATCH,), generator=draws)
        found = embed(backbone, blocks, entering[chosen].to(device), autocast=autocast)
        loss = (1 - (found * wanted[chosen].to(device)).sum(dim=1)).mean()
        for group in optimiser.param_groups:
            group["lr"] = float(rates[step])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(step + 1, steps)
    for parameter in learning:
        parameter.requires_grad_(False)


def embed(backbone: nn.Module, blocks: int, entering: Tensor, *, autocast: bool) -> Tensor:
    """The embeddings (N, D), float32, of length 1, of tokens (N, 1 + P, D) that enter the last blocks.

    In the last one only what the CLS token depends on is computed.
    """
    vit: Any = backbone
    last = vit.blocks[-1]
    with torch.autocast(entering.device.type, torch.bfloat16, enabled=autocast):
        tokens = entering.float()
        for block in vit.blocks[-blocks:]:
            tokens = run_block(block, tokens, draw_kept(block, tokens), block is last)
        found = vit.norm(tokens)[:, 0]
    return functional.normalize(found.float(), dim=1)
