"""Engines of exported files, built and compared on the spot for TensorRT's own backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from radiodino.export.tensorrt.export_engine import EngineSettings, export_engine
from radiodino.export.tensorrt.reference import from_onnx
from radiodino.runtime.engine_file import BatchProfile

from .exports import ExportedFile


def engine_of(file: ExportedFile, batch_size: int, progress: Callable[[str], None]) -> ExportedFile:
    """The engine of `file` for batches of `batch_size` alone, beside it.

    Raises:
        RadioDinoError: see `radiodino.export.tensorrt.export_engine.export_engine`.
    """
    path = file.path.with_name(f"{file.path.stem}-{batch_size}.engine")
    if not path.exists():
        profile = BatchProfile(least=batch_size, usual=batch_size, most=batch_size)
        export_engine(EngineSettings(file.path, profile, path), lambda: from_onnx(file.path), progress)
    return replace(file, path=path)
