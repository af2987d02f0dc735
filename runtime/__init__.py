"""Run exported Radio DINO files: embeddings, classes, masks and heat maps from scans, without PyTorch, offline.

from radiodino.runtime import Model

model = Model.load("radiodino-tiny-fp16.onnx")
vectors = model.embed(["scan.dcm", "image.png"])   # float32 (2, 192)
answer, = model.classify("scan.dcm")               # where the file was exported with --task classify
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    BackendError,
    DecodingNotice,
    InputError,
    MissingExtraError,
    ModelFileError,
    OutputError,
    RadioDinoError,
    UnreadableImageError,
    VerificationError,
    WeightsError,
)
from .frame import Window
from .model import Model
from .model_info import ModelInfo
from .variants import VARIANTS, Variant

if TYPE_CHECKING:
    from .tasks.classification import Classification
    from .tasks.explanation import Explanation
    from .tasks.segmentation import Segmentation

__all__ = [
    "VARIANTS",
    "BackendError",
    "Classification",
    "DecodingNotice",
    "Explanation",
    "InputError",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "ModelInfo",
    "OutputError",
    "RadioDinoError",
    "Segmentation",
    "UnreadableImageError",
    "Variant",
    "VerificationError",
    "WeightsError",
    "Window",
]

_ANSWERS = {"Classification": "classification", "Explanation": "explanation", "Segmentation": "segmentation"}
"""By the modules of `radiodino.runtime.tasks` that define them: a cold start waits for none that is not asked for."""


def __getattr__(name: str) -> Any:
    if name not in _ANSWERS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.tasks.{_ANSWERS[name]}"), name)
