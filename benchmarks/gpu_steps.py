"""The steps of `radiodino.benchmarks.gpu_evidence`: what each measures, and the file that says it was done."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import BackendError, InputError, RadioDinoError

from .bench.settings import BenchSettings

Progress = Callable[[str], None]

_TESTS = Path(__file__).resolve().parent.parent / "tests" / "test_gpu.py"
_LAST = 2000
"""Characters of what a command said that are kept."""
_MADE_UP = 1024
"""Images to pretrain on, where none are given."""


def _cuda() -> None:
    """See that a GPU, PyTorch's CUDA and ONNX Runtime's are there.

    Raises:
        BackendError: one is not.
    """
    from radiodino.runtime.backends import cuda
    from radiodino.runtime.nvidia import nvidia

    problem = nvidia().problem or cuda.status().problem
    if problem:
        raise BackendError(f"evidence of a GPU is measured on one, and here {problem}")
    import torch

    if not torch.cuda.is_available():
        raise BackendError("PyTorch finds no CUDA device: install a build of PyTorch for this GPU's CUDA")
    if problem := cuda.problem():
        raise BackendError(problem)


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Device:
    """Where all is measured."""

    name: str
    check: Callable[[], None]
    """Raises where it is not there."""
    original: tuple[str, ...]
    """PyTorch's engines, of `radiodino.benchmarks.bench.lineup`."""
    runtime: tuple[str, ...]
    """The runtime's."""
    optional: tuple[str, ...]
    """Likewise, where they can be used."""
    training: tuple[str, ...]
    """Arguments of `radiodino.benchmarks.pretrain_step`."""


DEVICES = {
    "cuda": Device(
        name="cuda",
        check=_cuda,
        original=("pytorch-cuda", "pytorch-cuda-compile"),
        runtime=("cuda",),
        optional=("ort-tensorrt", "tensorrt"),
        training=("--precision", "bf16-mixed", "--official-precision", "16-mixed", "--compile"),
    ),
    "cpu": Device(
        name="cpu",
        check=_nothing,
        original=("pytorch",),
        runtime=("onnxruntime",),
        optional=(),
        training=("--crops", "96,48,2", "--out-dim", "64", "--batch-size", "2", "--rounds", "1", "--steps", "1",
                  "--workers", "1", "--threads", "1", "--images", "8"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One of the plan's."""

    name: str
    file: Path
    """There once it is done."""
    run: Callable[[Progress], str | None]
    """Writes `file`, or says why it could not."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured, and where it is written."""

    folder: Path
    variants: tuple[str, ...]
    batches: tuple[int, ...]
    device: Device
    data: tuple[str, ...]
    rounds: int
    round_seconds: float
    kinds: tuple[str, ...]

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            InputError: nothing is named, an unknown kind of step, or a number that cannot be.
        """
        for option, values in (("--variants", self.variants), ("--batches", self.batches), ("--only", self.kinds)):
            if not values:
                raise InputError(f"{option} names nothing")
        for kind in self.kinds:
            if kind not in _KINDS:
                raise InputError(f"there is no kind of step '{kind}': choose {', '.join(_KINDS)}")
        self._bench(self.variants[0], self.batches[0]).check()
        for batch in self.batches:
            self._bench(self.variants[0], batch).check()

    def steps(self) -> list[Step]:
        """In the order in which they are run."""
        return [step for kind in _KINDS if kind in self.kinds for step in _KINDS[kind](self)]

    def file(self, name: str) -> Path:
        """Of the step `name`."""
        return self.folder / f"{name}.json"

    def machine_steps(self) -> list[Step]:
        """What ``doctor`` says."""

        def run(_progress: Progress) -> None:
            from radiodino.runtime.doctor import examine

            _write(self.file("machine"), examine())

        return [self._step("machine", run)]

    def bench_steps(self) -> list[Step]:
        """Each variant with each batch."""

        def one(variant: str, batch: int) -> Step:
            name = f"bench-{variant}-{batch}"

            def run(progress: Progress) -> None:
                from .bench.report import write_report
                from .bench.run import run as measured

                write_report(measured(self._bench(variant, batch), progress), self.file(name))

            return self._step(name, run)

        return [one(variant, batch) for variant in self.variants for batch in self.batches]

    def pixel_steps(self) -> list[Step]:
        """Each variant with the largest batch, where the engine normalises pixels itself."""

        def one(variant: str) -> Step:
            name = f"pixels-{variant}"

            def run(progress: Progress) -> None:
                from .gpu_pixels import floats_and_pixels

                found = floats_and_pixels(variant, max(self.batches), self.device.runtime[0], self.rounds, progress)
                _write(self.file(name), found)

            return self._step(name, run)

        return [one(variant) for variant in self.variants] if self.device.name == "cuda" else []

    def pretrain_steps(self) -> list[Step]:
        """The smallest of the variants, as the README's figures on a CPU are of it."""

        def run(progress: Progress) -> str | None:
            with tempfile.TemporaryDirectory() as folder:
                data = self.data or (_made_up(Path(folder)),)
                raw = Path(folder, "pretrain.json")
                command = [sys.executable, "-m", "radiodino.benchmarks.pretrain_step", "--variant", self.variants[0]]
                command += [part for name in data for part in ("--data", name)]
                command += ["--accelerator", self.device.name, *self.device.training, "--output", str(raw)]
                progress("train")
                reason = _failure(command)
                if reason is None:
                    _write(self.file("pretrain"), json.loads(raw.read_text(encoding="utf-8")))
                return reason

        return [self._step("pretrain", run)]

    def test_steps(self) -> list[Step]:
        """Those that need a GPU."""

        def run(progress: Progress) -> str | None:
            if not _TESTS.is_file():
                return "left out: the tests are in a clone of the repository alone; install it with  pip install -e ."
            progress("pytest")
            command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(_TESTS)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_TESTS.parent.parent)
            if ended.returncode:
                return f"pytest ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-_LAST:]}"
            _write(self.file("tests"), {"passed": ended.stdout.strip().splitlines()[-1]})
            return None

        return [self._step("tests", run)]

    def _step(self, name: str, run: Callable[[Progress], str | None]) -> Step:
        def told(progress: Progress) -> str | None:
            try:
                return run(progress)
            except RadioDinoError as error:  # the others can be measured all the same
                return str(error)

        return Step(name, self.file(name), told)

    def _bench(self, variant: str, batch: int) -> BenchSettings:
        return BenchSettings(
            variants=(variant,),
            engines=(*self.device.original, *self.device.runtime, *_usable(self.device.optional)),
            precisions=("fp32", "fp16"),
            batch_sizes=(batch,),
            rounds=self.rounds,
            round_seconds=self.round_seconds,
        )


_KINDS: dict[str, Callable[[Plan], list[Step]]] = {
    "machine": Plan.machine_steps,
    "bench": Plan.bench_steps,
    "pixels": Plan.pixel_steps,
    "pretrain": Plan.pretrain_steps,
    "tests": Plan.test_steps,
}


def _usable(engines: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `engines` whose libraries are installed."""
    return tuple(engine for engine in engines if _INSTALLED[engine]())


def _has_tensorrt_library() -> bool:
    from radiodino.runtime.nvidia_libraries import tensorrt_library

    return tensorrt_library()[0].where is not None


def _has_tensorrt() -> bool:
    from radiodino.runtime.backends import tensorrt

    return tensorrt.status().problem is None


_INSTALLED = {"ort-tensorrt": _has_tensorrt_library, "tensorrt": _has_tensorrt}


def _made_up(folder: Path) -> str:
    from .bench.exports import synthetic_images

    images = folder / "images"
    images.mkdir()
    for number, image in enumerate(synthetic_images(_MADE_UP)):
        image.save(images / f"{number}.jpg")
    return str(images)


def _failure(command: list[str]) -> str | None:
    """Run `command`; what it said last where it failed."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else (ended.stdout + ended.stderr)[-_LAST:].strip()


def _write(path: Path, document: object) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
