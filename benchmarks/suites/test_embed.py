"""Prepared images to embeddings, in every engine and precision, beside the PyTorch original."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.benchmark(max_time=0.5, min_rounds=10, warmup=True, warmup_iterations=3)

BATCHES = pytest.mark.parametrize("images", [1, 8])


@BATCHES
def test_embed(time_engine: Callable[[str, int], None], images: int) -> None:
    time_engine("embed", images)


@BATCHES
def test_embed_pytorch(time_original: Callable[[str, int], None], images: int) -> None:
    time_original("embed", images)
