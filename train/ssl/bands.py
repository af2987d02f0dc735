"""Linear maps along the rows and columns of many small images, each image with maps of its own.

Resizing and blurring are such maps: every value of the result is a weighted sum of a few neighbouring values of a line.
`torch.nn.functional.embedding_bag` sums weighted rows of a table; with the lines of an image as the table it applies
the maps of a whole batch at once, in float32, many times faster on a CPU than products with the full matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Bands:
    """For each of n images, S weighted sums of K values of a line."""

    index: Tensor
    """(n, S, K), int64: which values of the line; one may come twice."""
    weights: Tensor
    """(n, S, K), float32."""


def apply_bands(images: Tensor, owners: Tensor, rows: Bands, columns: Bands) -> Tensor:
    """Weighted sums along both axes: rows' matrix @ image @ columns' matrix, transposed.

    Args:
        images: (m, C, H, W), of any real type.
        owners: (n,), int64: to which of the images each pair of maps is applied.
        rows: for n images, into the H values of a column.
        columns: for n images, into the W values of a row.

    Returns:
        (n, C, S, T), float32, where S and T are the sums per line of `rows` and `columns`; for more than one channel
        its memory is not in this order.
    """
    channels, height, width = images.shape[1:]
    short = columns.index.shape[1]
    lines = images.to(torch.float32).permute(0, 3, 1, 2).reshape(-1, channels * height)
    lines = _sums(lines, owners, columns, width)
    lines = lines.reshape(-1, short, channels, height).permute(0, 3, 2, 1).reshape(-1, channels * short)
    lines = _sums(lines, torch.arange(len(owners), device=owners.device), rows, height)
    return lines.reshape(len(owners), rows.index.shape[1], channels, short).transpose(1, 2)


def _sums(table: Tensor, owners: Tensor, bands: Bands, length: int) -> Tensor:
    """Sums of the rows of a table (m × length, features), as (n × S, features)."""
    index = (bands.index + owners[:, None, None] * length).flatten(0, 1)
    return functional.embedding_bag(index, table, mode="sum", per_sample_weights=bands.weights.flatten(0, 1))
