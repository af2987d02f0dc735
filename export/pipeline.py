"""The export, step by step: build → fold → trace → clean up → precision → metadata → verify → write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.model_file import read_model_file, seal
from radiodino.runtime.model_info import ModelInfo, Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

from .cleanup import clean_up
from .divergence import first_divergence, stages
from .engine import Batch, cpu_backends
from .fold import folded
from .int8.calibration_set import CalibrationSet, read_calibration
from .metadata import describe
from .original import Original, load_original
from .precision import Source, convert
from .probe_images import probe_batches
from .settings import ExportSettings
from .trace import trace
from .verify import TOLERANCES, Comparison, pytorch_reference, reference_outputs, refuse_failed, report, verify

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    sha256: str
    size: int
    """Bytes."""
    info: ModelInfo
    comparisons: list[Comparison]
    kept_float: list[str]
    """Operators that stay fp32 in an fp16 file because their values leave the half range."""
    remarks: tuple[str, ...] = ()
    """What a user must be told of the calibration images beside the notes in the file; it may name files."""


def export_model(settings: ExportSettings, progress: Progress = lambda _step: None) -> Exported:
    """Export one model to one verified file.

    Args:
        settings: what to export.
        progress: told the name of each step as it begins.

    Raises:
        InputError: an image size that the patch does not divide, an unknown task, output or precision, weights that
            the task cannot have, or images that nothing can be calibrated on.
        BackendError: no CPU engine is installed, so that nothing could be verified.
        WeightsError: the weights cannot be had or do not fit the variant.
        OutputError: the file exists already or cannot be written.
        VerificationError: the candidate differs from the original; nothing is written.
    """
    settings.check()
    cpu_backends()  # refuse early where nothing could be verified
    outputs, target = settings.output_names, settings.target

    progress("load weights")
    original = load_original(settings)
    size = original.image_size
    images = _calibration_images(settings, size, progress)
    batches = probe_batches(size)
    progress("run the original")
    references = reference_outputs(original, outputs, batches)
    model = fp32_graph(original, outputs, progress)
    converted = convert(Source(model, original, settings, batches, images), progress)
    body = converted.model.SerializeToString()
    info = describe(settings, original, converted.quantisation)

    progress("verify against PyTorch")
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / target.name
        for bf16_residual in residuals(settings):
            info = replace(info, bf16_residual=bf16_residual)
            candidate.write_bytes(seal(body, info.to_json()))
            comparisons = verify(candidate, settings.precision, references, batches)
            if all(comparison.passed for comparison in comparisons):
                break
    where = _diverges(comparisons, settings.precision, converted.model, original, batches)
    refuse_failed(comparisons, settings.precision, f"{where}; it was not written{_CURES[settings.precision]}")

    progress("write")
    info = replace(info, verification=report(comparisons, batches, pytorch_reference()))
    with atomic_path(target, overwrite=settings.force) as temporary:
        temporary.write_bytes(seal(body, info.to_json()))
        written = read_model_file(temporary)
        size_in_bytes = temporary.stat().st_size
    remarks = images.remarks if images else ()
    return Exported(target, written.sha256, size_in_bytes, info, comparisons, list(converted.beyond_half), remarks)


def fp32_graph(original: Original, outputs: tuple[str, ...], progress: Progress) -> onnx.ModelProto:
    """What all precisions are made from: the folded original, traced, with clear names."""
    progress("trace in fp32")
    model = trace(folded(original.backbone), original.image_size, outputs, original.heads)
    progress("clean up the graph")
    return clean_up(model, stages(original.backbone, original.heads.segmenter))


_CURES = {
    "fp32": "",
    "fp16": ": export with --fp32 instead",
    "int8": ": export with --fp16 instead, or calibrate on other images",
    "int8-dynamic": ": export with --int8 and --calibration, or with --fp16 instead",
}


def _calibration_images(settings: ExportSettings, size: int, progress: Progress) -> CalibrationSet | None:
    """The images that an int8 file is calibrated on and judged by; None for other files."""
    if not settings.calibration:
        return None
    progress("read calibration images")
    return read_calibration(
        settings.calibration,
        Preprocessor(Preprocessing(resize=(size, size))),
        count=settings.calibration_count,
        seed=settings.calibration_seed,
        progress=lambda done, total: progress(f"read calibration images, {done} of {total}"),
    )


def residuals(settings: ExportSettings) -> tuple[bool, ...]:
    """What to try for `ModelInfo.bf16_residual`, the faster first: only where bf16 is at hand can it be verified.

    Never for an fp16 file that decides: on real images the error of a probability would be three times as large.
    """
    if settings.precision == "fp16" and settings.task != "embed":
        return (False,)
    can_verify = any(status.arithmetic and "bf16" in status.arithmetic.supported for status in cpu_backends())
    return (True, False) if can_verify and (settings.precision, "bf16") in TOLERANCES else (False,)


def _diverges(
    comparisons: list[Comparison], precision: str, model: onnx.ModelProto, original: Original, batches: list[Batch]
) -> str:
    for comparison in comparisons:
        if not comparison.passed:
            backend = comparison.backend.partition(" ")[0]
            tolerance = TOLERANCES[precision, comparison.compute]
            return first_divergence(model, original, np.concatenate(batches), backend, comparison.compute, tolerance)
    return ""
