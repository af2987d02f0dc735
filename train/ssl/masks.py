"""Which patches of the global crops iBOT hides from the student: DINOv2's block-wise masks."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiodino.runtime.errors import InputError

_ATTEMPTS = 10  # to place one block
_LEAST_PATCHES = 4  # of a block, unless fewer are left to be hidden
_LEAST_ASPECT = 0.3  # of a block; the greatest is its reciprocal


@dataclass(frozen=True)
class PatchMasks:
    """The masks of a batch of B crops of N patches, M of them hidden altogether; on the CPU."""

    mask: Tensor
    """(B, N), bool: True where a patch is hidden; patches in row order."""
    indices: Tensor
    """(M,), int64: the places of the hidden patches in the flattened mask, rising."""
    weights: Tensor
    """(M,), float32: for each hidden patch 1 / the number of hidden patches of its crop."""
    upper_bound: int
    """M is never above this for the same B, N and settings; for buffers of constant size."""


def draw_masks(
    batch: int,
    grid: int,
    generator: random.Random,
    *,
    ratio: tuple[float, float] = (0.1, 0.5),
    probability: float = 0.5,
) -> PatchMasks:
    """Masks for a batch, of which a share is masked, with ratios spread over a range; the others hide nothing.

    As DINOv2's `collate_data_and_cast`: the masked crops get one equal part each of the range of ratios, a ratio drawn
    from it, and a mask of blocks; then masks are shuffled over the batch. The same generator state gives the masks of
    the official code, whose random numbers are Python's, in the same order.

    Args:
        batch: crops, both global crops of each image counted, B.
        grid: patches along each side of a crop; N is its square.
        generator: Python's, seeded with what names the step, for example, so that a run resumes exactly.
        ratio: least and greatest share of hidden patches in a masked crop.
        probability: share of masked crops in the batch, rounded down.

    Raises:
        InputError: where a number is outside its range.
    """
    if not (0 <= ratio[0] <= ratio[1] <= 1 and 0 <= probability <= 1 and batch >= 1 and grid >= 1):
        raise InputError(
            "masks need a batch and a grid of at least 1, rising ratios and a probability between 0 and 1, found "
            f"batch {batch}, grid {grid}, ratio {ratio}, probability {probability}: change them"
        )
    patches, masked = grid * grid, int(batch * probability)
    steps = torch.linspace(ratio[0], ratio[1], masked + 1)
    masks, upper_bound = [], 0
    for low, high in pairwise(steps.unbind()):
        share = low + (high - low) * generator.random()  # in float32, as officially
        masks.append(block_mask(grid, int(patches * share), generator))
        upper_bound += int(patches * high)
    masks += [np.zeros((grid, grid), dtype=bool)] * (batch - masked)
    generator.shuffle(masks)

    mask = torch.from_numpy(np.stack(masks)).flatten(1)
    counts = mask.sum(dim=1)
    indices = mask.flatten().nonzero().squeeze(1)
    weights = (1 / counts.clamp(min=1).float())[:, None].expand_as(mask)[mask]
    return PatchMasks(mask, indices, weights, upper_bound)


def block_mask(grid: int, count: int, generator: random.Random) -> NDArray[np.bool_]:
    """Rectangles of random place, area and aspect, united until `count` patches are hidden.

    As DINOv2's `MaskingGenerator`: an area between 4 patches and what is left to be hidden, at most half the rows of
    the grid, an aspect between 0.3 and 1 / 0.3, log-uniform; a block is taken where it hides something new and not too
    much of it. After 10 failed attempts at a block the mask stays as it is, so that fewer than `count` can be hidden,
    never more.

    Returns:
        (grid, grid), bool.
    """
    mask = np.zeros((grid, grid), dtype=bool)
    hidden = 0
    while hidden < count:
        most = min(count - hidden, grid // 2 * grid)
        added = _add_block(mask, most, generator)
        if not added:
            break
        hidden += added
    return mask


def _add_block(mask: NDArray[np.bool_], most: int, generator: random.Random) -> int:
    """Hide one more rectangle with at least 1 and at most `most` new patches; how many it hid, 0 where none fitted."""
    grid = len(mask)
    for _ in range(_ATTEMPTS):
        area = generator.uniform(_LEAST_PATCHES, most)
        aspect = math.exp(generator.uniform(math.log(_LEAST_ASPECT), math.log(1 / _LEAST_ASPECT)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height >= grid or width >= grid:
            continue
        top = generator.randint(0, grid - height)
        left = generator.randint(0, grid - width)
        block = mask[top : top + height, left : left + width]
        new = int(block.size - block.sum())
        if 0 < new <= most:
            block[:] = True
            return new
    return 0
