"""The document that an exported file carries."""

from __future__ import annotations

import platform
from importlib import metadata

from radiodino.runtime.model_info import ModelInfo, Output, Preprocessing
from radiodino.runtime.quantisation_info import QuantisationInfo

from .original import Original
from .settings import OUTPUTS, ExportSettings
from .task_network import output_shapes
from .trace import OPSET


def describe(settings: ExportSettings, original: Original, quantisation: QuantisationInfo | None = None) -> ModelInfo:
    """The document of one export, its verification still to come."""
    variant, size = settings.variant, original.image_size
    shapes = output_shapes(variant, size, original.heads.classes)
    return ModelInfo(
        variant=variant.name,
        paper_name=variant.paper_name,
        task=settings.task,
        precision=settings.precision,
        image_size=size,
        patch=variant.patch,
        embedding_size=variant.embedding_size,
        position_interpolation=variant.position_interpolation,
        preprocessing=Preprocessing(resize=(size, size)),
        outputs=tuple(Output(name=name, shape=shapes[name], meaning=OUTPUTS[name]) for name in settings.output_names),
        weights=original.weights,
        notice=original.notice,
        classifier=original.classifier_info,
        segmenter=original.segmenter_info,
        quantisation=quantisation,
        tools={
            "opset": str(OPSET),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("radiodino", "torch", "timm", "onnx", "onnxscript")},
        },
    )
