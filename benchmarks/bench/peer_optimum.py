"""Optimum's exporter and quantiser: the peer of those who know the model from the Hugging Face hub."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from radiodino.export.engine import Batch
from radiodino.runtime.errors import InputError
from radiodino.runtime.machine import this_machine

from .contender import Contender
from .peer_materials import Materials

EXPORTED, DYNAMIC, STATIC = "optimum", "optimum dynamic", "optimum static"
_ENTRY = "pixel_values"
_TASK = "image-classification"
"""The one task that optimum has for timm's models; without a classifier its output is the embedding."""


def exported(materials: Materials) -> list[Contender]:
    """What ``optimum-cli export onnx --library timm`` writes, for a backbone that is at hand."""
    return [_contender(materials, _exported_file(materials), "fp32", EXPORTED)]


def dynamic(materials: Materials) -> list[Contender]:
    """`ORTQuantizer` with the configuration for this CPU, ranges found in each batch."""
    file = _quantised(materials, DYNAMIC, is_static=False)
    return [_contender(materials, file, "int8", DYNAMIC)]


def static(materials: Materials) -> list[Contender]:
    """`ORTQuantizer` with the configuration for this CPU, min-max ranges from calibration images."""
    file = _quantised(materials, STATIC, is_static=True)
    return [_contender(materials, file, "int8", STATIC, f"calibrated on {materials.images}")]


def _exported_file(materials: Materials) -> Path:
    subject = materials.subject
    if subject.settings.task != "embed":
        raise InputError("optimum exports timm's backbones, and no head that is not timm's")
    folder = materials.place(EXPORTED)
    file = folder / "model.onnx"
    if not file.exists():
        from optimum.exporters.onnx import export
        from optimum.exporters.onnx.model_configs import TimmDefaultOnnxConfig
        from transformers import PretrainedConfig

        size = subject.original.image_size
        config = PretrainedConfig.from_dict({"model_type": "vit", "num_channels": 3, "image_size": size})
        backbone: Any = copy.deepcopy(subject.original.backbone)
        backbone.config = config
        export(backbone, TimmDefaultOnnxConfig(config, task=_TASK), file)
        config.save_pretrained(folder)
    return file


def _quantised(materials: Materials, name: str, *, is_static: bool) -> Path:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoCalibrationConfig, AutoQuantizationConfig

    sets = this_machine().instruction_sets
    kind = "avx512_vnni" if "avx512_vnni" in sets else "avx2" if "avx2" in sets else "arm64"
    settings = getattr(AutoQuantizationConfig, kind)(is_static=is_static, per_channel=False)
    quantiser = ORTQuantizer.from_pretrained(_exported_file(materials).parent, file_name="model.onnx")
    ranges: Any = None
    if is_static:
        images = _Images(materials)
        ranges = quantiser.fit(
            images,
            AutoCalibrationConfig.minmax(images),
            onnx_augmented_model_name=str(materials.folder / "augmented.onnx"),
            operators_to_quantize=settings.operators_to_quantize,
        )
    quantiser.quantize(settings, materials.place(name), calibration_tensors_range=ranges)
    return next(materials.place(name).glob("*.onnx"))


class _Images:
    """What optimum asks of a `datasets.Dataset`: the images one by one, and what its record names."""

    info = SimpleNamespace(builder_name="images", config_name=None)
    split = "train"

    def __init__(self, materials: Materials) -> None:
        self._batches = materials.calibration
        self.num_rows = len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        return ({_ENTRY: batch[0]} for batch in self._batches)


def _contender(materials: Materials, file: Path, precision: str, maker: str, *remarks: str) -> Contender:
    return Contender(
        engine="onnxruntime", precision=precision, maker=maker, opener="onnxruntime", file=file, compute="fp32",
        outputs=materials.subject.outputs, remarks=remarks,
    )  # fmt: skip
