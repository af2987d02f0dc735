"""What the suites share: the demonstration weights' originals and exports, and the check that comes before each timing.

    pytest benchmarks --benchmark-only

Each suite times this package beside the PyTorch original in one process; `radiodino-bench` is what compares engines in
processes of their own. Everything is made once per session, offline, in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from radiodino.runtime import Model
from radiodino.runtime.backends.select import BACKENDS, auto_choice
from radiodino.runtime.compute import INT8
from radiodino.runtime.machine import usable_cores
from radiodino.runtime.variants import get_variant

if TYPE_CHECKING:  # PyTorch is imported where a suite asks for it
    from radiodino.benchmarks.bench.subject import Subject

VARIANT = get_variant("tiny")
"""That which the package has demonstration weights and heads for."""


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled models are kept in a folder of the session, so that none is there before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADIODINO_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def threads() -> int:
    """Of every engine and of PyTorch: the same on every machine that has two cores."""
    return min(2, usable_cores())


@pytest.fixture(params=("onnxruntime", "openvino", "cuda"))
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine of the runtime that works here."""
    name: str = request.param
    chosen, reasons = auto_choice([BACKENDS[name].status()])
    if chosen is None:
        pytest.skip(reasons[0])
    return name


@pytest.fixture(params=("fp32", "fp16", "int8"))
def precision(request: pytest.FixtureRequest, engine: str) -> str:
    """Each precision of a file that the engine takes."""
    from radiodino.export.engine import CPU_BACKENDS

    name: str = request.param
    if name in INT8 and engine not in CPU_BACKENDS:
        pytest.skip(f"{engine}: an int8 file is made for CPUs")
    return name


@pytest.fixture(scope="session")
def subject(threads: int, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    """The PyTorch original for a task."""
    import torch

    from radiodino.benchmarks.bench.subject import load_subject

    torch.set_num_threads(threads)

    @cache
    def load(task: str) -> Subject:
        return load_subject(VARIANT, task, ("demo",), None, "lite", tmp_path_factory.mktemp("original"))

    return load


@pytest.fixture(scope="session")
def _traced_once() -> Iterator[None]:
    """The three files of a task are made of one trace, which takes half of an export's time."""
    import onnx

    from radiodino.export import pipeline
    from radiodino.export.trace import trace

    graphs: dict[tuple[str, ...], bytes] = {}

    def traced(backbone: Any, size: int, outputs: tuple[str, ...], heads: Any) -> onnx.ModelProto:
        if outputs not in graphs:
            graphs[outputs] = trace(backbone, size, outputs, heads).SerializeToString()
        return onnx.load_from_string(graphs[outputs])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "trace", traced)
        yield


@pytest.fixture(scope="session")
def exported_file(
    _traced_once: None, subject: Callable[[str], Subject], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The export for a task in a precision; int8 is calibrated on made-up images."""
    from radiodino.benchmarks.bench.exports import Calibration, exported

    @cache
    def export(task: str, precision: str) -> Path:
        folder = tmp_path_factory.mktemp(f"{task}-{precision}")
        return exported(subject(task), precision, Calibration(), folder, lambda _step: None).path

    return export


@pytest.fixture(scope="session")
def probe_batch() -> Callable[[int], Any]:
    """The first of the ten probe images of an export, as float32 network input (B, 3, S, S)."""
    from radiodino.export.probe_images import probe_batches
    from radiodino.export.settings import DEFAULT_IMAGE_SIZE

    whole = np.concatenate(probe_batches(DEFAULT_IMAGE_SIZE))
    return lambda images: whole[:images]


@pytest.fixture(scope="session")
def answers_right(subject: Callable[[str], Subject], probe_batch: Callable[[int], Any]) -> Callable[..., None]:
    """Fails unless an opened export answers as its original, within what `radiodino-export verify` allows."""
    from radiodino.export.verify import compare, reference_outputs, refuse_failed, tolerance_of

    @cache
    def wanted(task: str, images: int) -> list[dict[str, Any]]:
        one = subject(task)
        return reference_outputs(one.original, one.outputs, [probe_batch(images)])

    def check(model: Model, task: str, images: int) -> None:
        references, found = wanted(task, images), [model.run(probe_batch(images))]
        precision, compute = model.info.precision, model.info.compute
        threshold = model.info.segmenter.threshold if model.info.segmenter else None
        compared = [
            compare(
                model.info.backend, compute, output, found, references, tolerance_of(precision, compute, output),
                threshold,
            )
            for output in references[0]
        ]  # fmt: skip
        refuse_failed(compared, precision, "it is not timed")

    return check


@pytest.fixture
def time_engine(
    engine: str,
    precision: str,
    benchmark: Any,
    threads: int,
    exported_file: Callable[..., Path],
    probe_batch: Callable[[int], Any],
    answers_right: Callable[..., None],
) -> Callable[[str, int], None]:
    """Times one engine's answers to prepared images, once they are found right."""

    def run(task: str, images: int) -> None:
        file = exported_file(task, precision)
        model = Model.load(file, backend=engine, threads=threads, batch_size=images, cache=False)
        answers_right(model, task, images)
        benchmark.group = _group(task, images)
        benchmark.extra_info.update(compute=model.info.compute, version=model.info.backend_version, threads=threads)
        benchmark(model.run, probe_batch(images))

    return run


@pytest.fixture
def time_original(
    benchmark: Any, threads: int, subject: Callable[[str], Subject], probe_batch: Callable[[int], Any]
) -> Callable[[str, int], None]:
    """Times the PyTorch original at the same."""
    import torch

    def run(task: str, images: int) -> None:
        network, batch = subject(task).network, torch.from_numpy(probe_batch(images))
        benchmark.group = _group(task, images)
        benchmark.extra_info.update(compute="fp32", version=torch.__version__, threads=threads)
        with torch.inference_mode():
            benchmark(network, batch)

    return run


def _group(task: str, images: int) -> str:
    return f"{task} {images} image{'s' if images > 1 else ''}"
