"""One batch as floats and as pixels: what it saves to normalise on the GPU."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from radiodino.export.pipeline import export_model
from radiodino.export.settings import ExportSettings
from radiodino.runtime import Model
from radiodino.runtime.errors import BackendError
from radiodino.runtime.preprocessing import Preprocessor
from radiodino.runtime.variants import get_variant

from .bench.exports import synthetic_images

_WARM = 3


def floats_and_pixels(
    variant: str, batch_size: int, engine: str, rounds: int, progress: Callable[[str], None] = lambda _step: None
) -> dict[str, Any]:
    """Run one batch in both forms, in turns.

    Args:
        variant: with random weights, in fp16.
        batch_size: at least 2.
        engine: of the runtime, one that normalises pixels itself.
        rounds: of each form, after some that warm up.
        progress: told the name of each step as it begins.

    Returns:
        ``milliseconds`` (medians) and ``bytes`` of each form, and whether the answers have the ``same_bits``;
        JSON-able.

    Raises:
        BackendError: the engine does not take pixels.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = ExportSettings(variant=get_variant(variant), weights="random", precision="fp16")
        file = export_model(replace(settings, output=Path(folder, "model.onnx")), progress).path
        model = Model.load(file, backend=engine, batch_size=max(batch_size, 2), cache=False)
        if not model.backend.takes_pixels:
            raise BackendError(f"backend '{engine}' does not normalise pixels itself")
        prepared = Preprocessor(model.info.preprocessing)
        images = synthetic_images(batch_size)
        forms: dict[str, Any] = {
            "floats": np.stack([prepared(image) for image in images]),
            "pixels": np.stack([prepared.pixels(image) for image in images]),
        }
        progress("floats and pixels")
        seconds: dict[str, list[float]] = {name: [] for name in forms}
        answers: dict[str, Any] = {}
        for number in range(_WARM + rounds):
            for name, batch in forms.items():
                begin = time.perf_counter()
                answers[name] = model.run(batch)["embedding"]
                if number >= _WARM:
                    seconds[name].append(time.perf_counter() - begin)
    return {
        "variant": variant,
        "batch_size": batch_size,
        "backend": f"{model.info.backend} {model.info.backend_version}",
        "compute": model.info.compute,
        "milliseconds": {name: 1000 * statistics.median(values) for name, values in seconds.items()},
        "bytes": {name: batch.nbytes for name, batch in forms.items()},
        "same_bits": bool(np.array_equal(answers["floats"], answers["pixels"])),
    }
