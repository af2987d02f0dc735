"""Embeddings of many images, in batches from the memory map."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.prefetch import prefetch

from ..data.image_cache import ImageCache
from .source import FeatureSource

_ON_GPU, _ELSEWHERE = 256, 32  # images per pass


def extract_features(
    source: FeatureSource,
    images: ImageCache,
    *,
    indices: NDArray[np.int64] | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> NDArray[np.float32]:
    """The embedding of each image; the next batch is read while one is computed.

    Args:
        source: opened on the device that shall compute.
        images: decoded at ``source.image_size``.
        indices: (N,): which images, in which order; None: all.
        batch_size: images per pass, at least 1; None: 256 on a GPU, elsewhere 32, which a CPU's caches hold better.
        progress: is told (done, total) after each batch.

    Returns:
        float32 (N, D), all finite.

    Raises:
        InputError: where the images have another size, or the batch size is below 1.
        WeightsError: where an embedding is not finite.
    """
    side = images.pixels.shape[-1]
    if side != source.image_size:
        raise InputError(f"{source.name} takes images of {source.image_size} px, found {side} px: decode them again")
    if batch_size is None:
        batch_size = _ON_GPU if source.device.startswith("cuda") else _ELSEWHERE
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, not {batch_size}")
    order = np.arange(len(images)) if indices is None else indices
    found = np.empty((len(order), source.size), np.float32)

    def read(start: int) -> NDArray[np.uint8]:
        return np.asarray(images.pixels[order[start : start + batch_size]])

    with closing(prefetch(range(0, len(order), batch_size), read, workers=1, depth=2)) as batches:
        done = 0
        for pixels in batches:
            rows = source.embed(pixels)
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                raise WeightsError(
                    f"{source.name} gives NaN or infinite values for {images.names[order[done + bad[0]]]}: check the "
                    "weights, or compute in fp32"
                )
            found[done : done + len(rows)] = rows
            done += len(rows)
            progress(done, len(order))
    return found
