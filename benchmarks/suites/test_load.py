"""A file on disk to a model that is ready, its engine being imported already, beside the PyTorch original.

``cold`` compiles anew; ``cached`` finds what an engine kept of an earlier start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radiodino.runtime import Model
from radiodino.runtime.home import home
from radiodino.runtime.variants import get_variant

KEEP = ("openvino",)
"""Engines that keep what they compiled for the next start."""


@pytest.fixture(params=("cold", "cached"))
def start(request: pytest.FixtureRequest, engine: str) -> str:
    """How an engine finds a file."""
    name: str = request.param
    if name == "cached" and engine not in KEEP:
        pytest.skip(f"{engine}: it keeps nothing for the next start")
    return name


def test_load(
    engine: str,
    precision: str,
    start: str,
    benchmark: Any,
    threads: int,
    exported_file: Callable[..., Path],
    answers_right: Callable[..., None],
) -> None:
    file, cache = exported_file("embed", precision), start == "cached"

    def load() -> Model:
        return Model.load(file, backend=engine, threads=threads, cache=cache)

    answers_right(load(), "embed", 1)
    assert not cache or any((home() / engine).iterdir())
    benchmark.group = f"load {precision}"
    answers_right(benchmark.pedantic(load, rounds=5, warmup_rounds=1), "embed", 1)


def test_load_pytorch(benchmark: Any) -> None:
    from radiodino.train.weights.load import load_weights

    benchmark.group = "load fp32"
    benchmark.pedantic(load_weights, (get_variant("tiny"), "demo"), rounds=5, warmup_rounds=1)
