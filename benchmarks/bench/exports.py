"""Files of this package, exported on the spot and verified; int8 ones with the gate where that can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from radiodino.export.engine import Batch
from radiodino.export.int8.calibration_set import CalibrationSet, read_calibration
from radiodino.export.int8.quantise import quantise
from radiodino.export.metadata import describe
from radiodino.export.pipeline import export_model, fp32_graph, residuals
from radiodino.export.probe_images import probe_images
from radiodino.runtime.errors import VerificationError
from radiodino.runtime.model_file import seal
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

from .subject import Subject

Progress = Callable[[str], None]

FILES = {"fp32": "fp32", "fp16": "fp16", "bf16": "fp16", "int8": "int8", "int8-dynamic": "int8-dynamic"}
"""The precision of the file for each that can be asked for: no file stores bf16, an fp16 one is computed in it."""
_SYNTHETIC = 16


@dataclass(frozen=True)
class Calibration:
    """Real images for int8 files."""

    inputs: tuple[str, ...] = ()
    """As of ``--calibration``; none takes made-up ones, and no gate."""
    count: int = 200


@dataclass(frozen=True)
class ExportedFile:
    """A file, and what must be known of it."""

    path: Path
    remarks: tuple[str, ...] = ()


def exported(
    subject: Subject, precision: str, calibration: Calibration, folder: Path, progress: Progress
) -> ExportedFile:
    """The file of `subject` in `precision`, of `FILES`'s values.

    An int8 file of trained weights with real calibration images is exported as radiodino-export does it, gate and all.
    Where the gate cannot be passed, or could not mean anything (random weights, made-up images), all layers are
    quantised without it, and the remark says so.

    Raises:
        RadioDinoError: see `radiodino.export.pipeline.export_model`.
    """
    path = folder / f"{precision}.onnx"
    settings = replace(subject.settings, precision=precision, output=path, force=True)
    if precision != "int8":
        export_model(settings, progress)
        return ExportedFile(path)
    if subject.is_trained and calibration.inputs:
        try:
            judged = replace(settings, calibration=calibration.inputs, calibration_count=calibration.count)
            found = export_model(judged, progress).info.quantisation
        except VerificationError as error:
            return _ungated(subject, calibration, path, progress, f"the gate refused such a file: {error}")
        back = found.kept_float if found else ()
        return ExportedFile(path, (f"{len(back)} layers were put back to float by the gate",) if back else ())
    reason = "the weights are random" if not subject.is_trained else "no --calibration images were given"
    return _ungated(subject, calibration, path, progress, reason)


def _ungated(subject: Subject, calibration: Calibration, path: Path, progress: Progress, reason: str) -> ExportedFile:
    settings, original = replace(subject.settings, precision="int8"), subject.original
    batches, images = calibration_batches(original.image_size, calibration)
    model = fp32_graph(original, settings.output_names, progress)
    progress("quantise")
    model = quantise(model, batches).model
    info = replace(describe(settings, original), bf16_residual=residuals(settings)[0])  # as the gate would have tried
    path.write_bytes(seal(model.SerializeToString(), info.to_json()))
    return ExportedFile(path, (f"quantised without the gate on {images}: {reason}",))


def calibration_batches(image_size: int, calibration: Calibration) -> tuple[list[Batch], str]:
    """Network inputs to choose ranges on, each (1, 3, S, S), and in words what they are."""
    preprocess = Preprocessor(Preprocessing(resize=(image_size, image_size)))
    if calibration.inputs:
        found: CalibrationSet = read_calibration(calibration.inputs, preprocess, count=calibration.count)
        return list(found.calibration.batches(1)), f"{len(found.calibration)} real images"
    return [preprocess(image)[None] for image in synthetic_images(_SYNTHETIC)], f"{_SYNTHETIC} made-up images"


def synthetic_images(count: int) -> list[Image.Image]:
    """Made-up images that look like radiology to a network: the first probe images, mirrored and shifted."""
    looking_real = probe_images()[:3]
    random = np.random.default_rng(0)
    found: list[Image.Image] = []
    while len(found) < count:
        pixels = np.roll(np.asarray(looking_real[len(found) % 3]), random.integers(-40, 40, 2), (0, 1))
        found.append(Image.fromarray(np.ascontiguousarray(pixels[:, :: random.choice((-1, 1))])))
    return found
