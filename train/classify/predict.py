"""A network's outputs for many images, in float32, over all processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from radiodino.runtime.machine import usable_cores
from radiodino.runtime.prefetch import prefetch

from .inputs import Inputs

WORKERS = min(usable_cores(), 16)
"""Threads that make batches ahead; each batch ahead takes memory."""


def predict(
    fabric: Any,
    network: nn.Module,
    inputs: Inputs,
    indices: NDArray[np.int64],
    batch_size: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> NDArray[np.float32]:
    """Outputs (N, K), float32, in the order of `indices`, the same on all processes; the network is left evaluating.

    Args:
        fabric: a launched `lightning_fabric.Fabric`; its precision does not count here.
        network: on the fabric's device, not wrapped.
        inputs: what it is fed.
        indices: of N images, at least one.
        batch_size: over all processes together.
        progress: is told (batches done, batches in all).
    """
    ranks = fabric.world_size
    each = -(-len(indices) // ranks)
    mine = np.resize(indices, each * ranks)[fabric.global_rank :: ranks]  # all processes have as many
    size = max(1, batch_size // ranks)
    batches = [mine[start : start + size] for start in range(0, each, size)]
    network.eval()
    found = []
    with torch.inference_mode(), closing(prefetch(batches, inputs.plain, WORKERS, WORKERS + 1)) as made:
        for done, batch in enumerate(made, 1):
            found.append(network(inputs.prepare(batch.to(fabric.device))).float())
            progress(done, len(batches))
        outputs = torch.cat(found)
        if ranks > 1:
            outputs = fabric.all_gather(outputs).transpose(0, 1).flatten(0, 1)
        kept: NDArray[np.float32] = outputs[: len(indices)].cpu().numpy()
    return kept
