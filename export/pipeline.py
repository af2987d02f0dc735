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
from .half import nodes_between, to_half
from .metadata import describe
from .original import Original, load_original
from .probe_images import BATCHES, probe_images
from .ranges import largest_values, nodes_beyond_half
from .settings import ExportSettings
from .trace import trace
from .verify import TOLERANCES, Comparison, reference_outputs, refuse_failed, report, verify

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


def export_model(settings: ExportSettings, progress: Progress = lambda _step: None) -> Exported:
    """Export one model to one verified file.

    Args:
        settings: what to export.
        progress: told the name of each step as it begins.

    Raises:
        InputError: an image size that the patch does not divide, an unknown task, output or precision, or weights that
            the task cannot have.
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
    batches = probe_batches(size)
    progress("run the original")
    references = reference_outputs(original, outputs, batches)
    progress("trace in fp32")
    model = trace(folded(original.backbone), size, outputs, original.heads)
    progress("clean up the graph")
    model = clean_up(model, stages(original.backbone, original.heads.segmenter))
    beyond: set[str] = set()
    if settings.precision == "fp16":
        progress("convert to fp16")
        beyond = nodes_beyond_half(model, largest_values(model, batches))
        linear = nodes_between(model, "embedding", "probabilities") if "probabilities" in outputs else set()
        model = to_half(model, beyond | linear)
    body = model.SerializeToString()
    info = describe(settings.variant, original, task=settings.task, precision=settings.precision, outputs=outputs)

    progress("verify against PyTorch")
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / target.name
        candidate.write_bytes(seal(body, info.to_json()))
        comparisons = verify(candidate, settings.precision, references, batches)
    outcome = "was not written: export with --fp32 instead" if settings.precision == "fp16" else "was not written"
    where = _diverges(comparisons, settings.precision, model, original, batches)
    refuse_failed(comparisons, settings.precision, f"{where}; it {outcome}")

    progress("write")
    info = replace(info, verification=report(comparisons, batches))
    with atomic_path(target, overwrite=settings.force) as temporary:
        temporary.write_bytes(seal(body, info.to_json()))
        written = read_model_file(temporary)
        size_in_bytes = temporary.stat().st_size
    return Exported(target, written.sha256, size_in_bytes, info, comparisons, sorted(beyond))


def probe_batches(image_size: int) -> list[Batch]:
    """The probe images as network input, in the batches of `BATCHES`."""
    preprocess = Preprocessor(Preprocessing(resize=(image_size, image_size)))
    inputs = np.stack([preprocess(image) for image in probe_images()])
    return np.split(inputs, np.cumsum(BATCHES)[:-1])


def _diverges(
    comparisons: list[Comparison], precision: str, model: onnx.ModelProto, original: Original, batches: list[Batch]
) -> str:
    for comparison in comparisons:
        if not comparison.passed:
            backend = comparison.backend.partition(" ")[0]
            tolerance = TOLERANCES[precision, comparison.compute]
            return first_divergence(model, original, np.concatenate(batches), backend, comparison.compute, tolerance)
    return ""
