"""The document that an exported file carries."""

from __future__ import annotations

import platform
from importlib import metadata

from radiodino.runtime.model_info import ModelInfo, Output, Preprocessing, Weights
from radiodino.runtime.notice import notice_of
from radiodino.runtime.variants import Variant

from .settings import OUTPUTS
from .trace import OPSET, output_shapes


def describe(
    variant: Variant,
    weights: Weights,
    *,
    precision: str,
    image_size: int,
    outputs: tuple[str, ...],
) -> ModelInfo:
    """The document of one export, its verification still to come."""
    shapes = output_shapes(variant, image_size)
    return ModelInfo(
        variant=variant.name,
        paper_name=variant.paper_name,
        task="embed",
        precision=precision,
        image_size=image_size,
        patch=variant.patch,
        embedding_size=variant.embedding_size,
        position_interpolation=variant.position_interpolation,
        preprocessing=Preprocessing(resize=(image_size, image_size)),
        outputs=tuple(Output(name=name, shape=shapes[name], meaning=OUTPUTS[name]) for name in outputs),
        weights=weights,
        notice=notice_of(weights.kind),
        tools={
            "opset": str(OPSET),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("radiodino", "torch", "timm", "onnx", "onnxscript")},
        },
    )
