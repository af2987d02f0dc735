"""One measurement of segmentation in a process of its own, for `radiodino.benchmarks.segment_heads`.

    python -m radiodino.benchmarks.segment_process ENGINE FILE IMAGE_SIZE THREADS RUNS

ENGINE is ``torch`` (FILE is a segmenter-*.pth) or a backend of the runtime (FILE was exported). Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .peak_memory import peak_mib

TORCH = "torch"


def opened(engine: str, file: Path, threads: int) -> tuple[Callable[[NDArray[np.float32]], object], str]:
    """What turns a batch (1, 3, S, S), float32, into a mask, and the arithmetic it does it in."""
    if engine != TORCH:
        from radiodino.runtime import Model

        model = Model.load(file, backend=engine, threads=threads, cache=False)
        return model.run, model.info.compute
    import torch

    from radiodino.train.segment.segmenter import load_segmenter

    torch.set_num_threads(threads)
    segmenter, _ = load_segmenter(file)

    def run(batch: NDArray[np.float32]) -> object:
        with torch.inference_mode():
            return segmenter(torch.from_numpy(batch)).sigmoid().numpy()

    return run, "fp32"


def main(engine: str, file: str, image_size: str, threads: str, runs: str) -> None:
    """Measure, and print what came of it."""
    size = int(image_size)
    run, compute = opened(engine, Path(file), int(threads))
    batch = np.random.default_rng(0).standard_normal((1, 3, size, size)).astype(np.float32)
    run(batch)  # allocates and chooses kernels
    seconds = []
    for _ in range(int(runs)):
        began = time.perf_counter()
        run(batch)
        seconds.append(time.perf_counter() - began)
    json.dump({"seconds": seconds, "peak_mib": peak_mib(), "compute": compute}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
