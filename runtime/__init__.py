"""Run exported Radio DINO files: embeddings from scans, without PyTorch, offline.

from radiodino.runtime import Model

model = Model.load("radiodino-tiny-fp16.onnx")
vectors = model.embed(["scan.dcm", "image.png"])   # float32 (2, 192)
"""

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

__all__ = [
    "VARIANTS",
    "BackendError",
    "DecodingNotice",
    "InputError",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "ModelInfo",
    "OutputError",
    "RadioDinoError",
    "UnreadableImageError",
    "Variant",
    "VerificationError",
    "WeightsError",
    "Window",
]
