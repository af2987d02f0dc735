"""The engine of an exported ONNX file: build → compare → seal → write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from radiodino.runtime.atomic import atomic_path, refuse_existing
from radiodino.runtime.backends.cuda_calls import Cuda
from radiodino.runtime.backends.tensorrt import TensorRTBackend, engine_key
from radiodino.runtime.compute import INT8
from radiodino.runtime.engine_file import SUFFIX, BatchProfile, EngineInfo, EngineKey
from radiodino.runtime.errors import InputError, ModelFileError
from radiodino.runtime.extras import require
from radiodino.runtime.model import Model
from radiodino.runtime.model_file import ModelFile, read_model_file, seal_engine
from radiodino.runtime.model_info import ModelInfo, parse_model_info

from ..recorded_cosines import refuse_other_than_recorded
from ..verify import Comparison, compare, refuse_failed, report, tolerance_of
from .build import build_engine
from .reference import Reference

Progress = Callable[[str], None]


@dataclass(frozen=True)
class EngineSettings:
    """One engine."""

    onnx: Path
    """What radiodino-export wrote."""
    profile: BatchProfile
    output: Path | None = None
    """None: beside the ONNX file, under its name."""
    best: bool = False
    """Whether the float parts of an int8 file become fp16."""
    force: bool = False
    """Whether an existing file may be replaced."""

    @property
    def target(self) -> Path:
        """The file to write."""
        return self.output or self.onnx.with_suffix(SUFFIX)

    def check(self) -> None:
        """Refuse what cannot be written.

        Raises:
            InputError: the output is not beside the ONNX file or has another suffix.
            OutputError: it exists already or cannot be written.
        """
        if self.target.suffix != SUFFIX or self.target.parent.resolve() != self.onnx.parent.resolve():
            raise InputError(
                f"an engine is written beside its ONNX file and named NAME{SUFFIX}, not {self.target}: it is built "
                "anew from that file wherever the card, TensorRT or the driver is another"
            )
        refuse_existing(self.target, overwrite=self.force)


@dataclass(frozen=True)
class ExportedEngine:
    """What was written."""

    path: Path
    sha256: str
    size: int
    """Bytes."""
    info: EngineInfo
    task: str
    """Of the model."""
    comparisons: list[Comparison]


def check_machine() -> EngineKey:
    """What an engine that is built here holds for, before any work is done for it.

    Raises:
        MissingExtraError: TensorRT or cuda-python is not installed.
        BackendError: one cannot be loaded, or there is no card or driver.
    """
    key = engine_key()
    Cuda()
    return key


def export_engine(
    settings: EngineSettings, reference: Callable[[], Reference], progress: Progress = lambda _step: None
) -> ExportedEngine:
    """Build the engine of an ONNX file, compare it, and write it.

    Args:
        settings: what to build.
        reference: what it is compared with (`radiodino.export.tensorrt.reference`), asked for once the rest is known
            to be possible.
        progress: told the name of each step as it begins.

    Raises:
        InputError: the ONNX file cannot be built as asked.
        OutputError: the engine exists already or cannot be written.
        ModelFileError: the ONNX file is damaged or foreign.
        MissingExtraError: TensorRT or cuda-python is not installed.
        BackendError: there is no card, or TensorRT cannot build the network.
        VerificationError: the engine's answers are not the original's; it is not written.
    """
    settings.check()
    key = check_machine()
    file = read_model_file(settings.onnx)
    document, model = _described(file)
    _refuse_unsuited(settings, model)
    progress("run the original")
    original = reference()
    network = settings.onnx.read_bytes()
    if settings.best:
        progress("convert the float parts to fp16")
        from .float_parts import with_half_float_parts  # which needs onnx, as nothing else here does

        network = with_half_float_parts(network, original.batches)
    progress("build the engine (minutes)")
    engine = build_engine(network, settings.profile, key)
    info = EngineInfo(
        key=key,
        profile=settings.profile,
        compute="fp16" if settings.best or model.precision == "fp16" else "fp32",
        best=settings.best,
        onnx_name=settings.onnx.name,
        onnx_sha256=file.sha256,
    )
    progress("verify the engine")
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / settings.target.name
        candidate.write_bytes(seal_engine(engine, info.to_json(), document))
        comparisons = compare_engine(candidate, original)
    refuse_different(comparisons, model.precision, original, f"{settings.target} was not written: use the ONNX file")

    progress("write")
    info = replace(info, verification=report(comparisons, original.batches, original.name))
    with atomic_path(settings.target, overwrite=settings.force) as temporary:
        temporary.write_bytes(seal_engine(engine, info.to_json(), document))
        written = read_model_file(temporary)
        size = temporary.stat().st_size
    return ExportedEngine(settings.target, written.sha256, size, info, model.task, comparisons)


def compare_engine(path: Path, original: Reference) -> list[Comparison]:
    """Every output of the engine at `path`, opened as any user would, beside `original`."""
    model = Model.load(path)
    try:
        # Not model.run, which refuses values that are not finite: here they are a finding.
        # Each batch twice: the first run of a shape computes, the second replays what was captured then.
        results = [model.backend.run(batch) for batch in original.batches * 2]
    finally:
        if isinstance(model.backend, TensorRTBackend):
            model.backend.close()
    info = model.info
    threshold = info.segmenter.threshold if info.segmenter else None
    name = f"{info.backend} {info.backend_version}"
    return [
        compare(
            name,
            info.compute,
            output.name,
            results,
            original.outputs * 2,
            tolerance_of(info.precision, info.compute, output.name),
            threshold,
        )
        for output in info.outputs
    ]


def refuse_different(comparisons: list[Comparison], precision: str, original: Reference, outcome: str) -> None:
    """Refuse an engine whose answers are not those of `original`.

    An int8 network's tolerances are wide, so beyond them its cosines must be what they were on the CPU.

    Raises:
        VerificationError: where it is so.
    """
    refuse_failed(comparisons, precision, outcome, f"the engine differs from {original.name}")
    if precision in INT8:
        refuse_other_than_recorded(comparisons, original.recorded, outcome)


def _described(file: ModelFile) -> tuple[str, ModelInfo]:
    if file.engine is not None:
        raise ModelFileError(f"{file.path} is an engine already: name the ONNX file that it was built from")
    if file.document is None:
        raise ModelFileError(f"{file.path} carries no radiodino metadata: make it with radiodino-export")
    return file.document, parse_model_info(file.document, file.path)


def _refuse_unsuited(settings: EngineSettings, model: ModelInfo) -> None:
    if model.precision == "int8-dynamic":
        raise InputError(
            f"{settings.onnx} is of dynamic int8, which TensorRT does not have: export with --format tensorrt --int8 "
            "and --calibration, or with --fp16"
        )
    if model.precision == "int8" and not (model.quantisation and model.quantisation.symmetric):
        raise InputError(
            f"{settings.onnx} was quantised for CPUs, and TensorRT takes symmetric 8 bits alone: export with --format "
            "tensorrt --int8 and --calibration"
        )
    if settings.best:
        if model.precision != "int8":
            raise InputError(
                f"--best is for int8 files, whose float parts it makes fp16, and {settings.onnx} is {model.precision}: "
                "leave it out"
            )
        require("export", "onnx")
