"""One prepared image to a mask, in every engine and precision, beside the PyTorch original."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.benchmark(max_time=0.5, min_rounds=10, warmup=True, warmup_iterations=3)


def test_segment(time_engine: Callable[[str, int], None]) -> None:
    time_engine("segment", 1)


def test_segment_pytorch(time_original: Callable[[str, int], None]) -> None:
    time_original("segment", 1)
