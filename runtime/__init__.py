"""Run exported Radio DINO files: embeddings, classes, masks and heat maps from scans, without PyTorch, offline.

from radiodino.runtime import Model

model = Model.load("radiodino-tiny-fp16.onnx")
vectors = model.embed(["scan.dcm", "image.png"])   # float32 (2, 192)
answer, = model.classify("scan.dcm")               # where the file was exported with --task classify
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
from .tasks.classification import Classification
from .tasks.explanation import Explanation
from .tasks.segmentation import Segmentation
from .variants import VARIANTS, Variant

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
