"""What one would take otherwise, each made on the spot as its documentation shows and with its defaults."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from radiodino.export.engine import Batch
from radiodino.runtime.install_command import install_command

from . import peer_optimum
from .contender import Contender
from .peer_materials import Materials, whole_batches

TORCH_ONNX, ORT_DYNAMIC, ORT_STATIC = "torch.onnx", "ORT dynamic", "ORT static"
CONVERT_MODEL, NNCF, NNCF_PERFORMANCE = "convert_model", "NNCF", "NNCF performance"
_INPUT = "image"


Maker = Callable[[Materials], list[Contender]]


@dataclass(frozen=True)
class Peer:
    """One way to an executable model."""

    name: str
    modules: tuple[str, ...]
    """That it needs."""
    make: Maker
    cure: str = install_command("dev")
    """What installs them."""


def made_peers(materials: Materials, progress: Callable[[str], None]) -> tuple[list[Contender], dict[str, str]]:
    """The contenders of all peers, and why some are missing, by peer.

    A peer that fails on this network is missing with its reason: how it fares is what is to be shown.
    """
    contenders: list[Contender] = []
    missing: dict[str, str] = {}
    for peer in PEERS:
        absent = [module for module in peer.modules if find_spec(module) is None]
        if absent:
            missing[peer.name] = f"{absent[0]} is not installed: run  {peer.cure}"
            continue
        progress(f"make the peer {peer.name}")
        try:
            with _quiet():
                contenders += peer.make(materials)
        except Exception as error:  # of libraries that share no base class
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            missing[peer.name] = f"it failed: {type(error).__name__}: {lines[0] if lines else 'without a message'}"
    return contenders, missing


def _torch_onnx(materials: Materials) -> list[Contender]:
    return [_onnx_contender(materials, _plain_onnx(materials), "fp32", TORCH_ONNX)]


def _ort_dynamic(materials: Materials) -> list[Contender]:
    from onnxruntime.quantization import quantize_dynamic

    target = materials.place(ORT_DYNAMIC) / "model.onnx"
    quantize_dynamic(_preprocessed(materials), target)
    return [_onnx_contender(materials, target, "int8", ORT_DYNAMIC)]


def _ort_static(materials: Materials) -> list[Contender]:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # has no types
        def __init__(self) -> None:
            self._batches = iter(whole_batches(materials))

        def get_next(self) -> dict[str, Batch] | None:
            batch = next(self._batches, None)
            return None if batch is None else {_INPUT: batch}

    target = materials.place(ORT_STATIC) / "model.onnx"
    quantize_static(_preprocessed(materials), target, Reader())
    return [_onnx_contender(materials, target, "int8", ORT_STATIC, f"calibrated on {materials.images}")]


def _convert_model(materials: Materials) -> list[Contender]:
    import openvino

    target = materials.place(CONVERT_MODEL) / "model.xml"
    openvino.save_model(_converted(materials), target, compress_to_fp16=False)
    computes = ("fp32", "bf16") if materials.bf16 else ("fp32",)
    return [_openvino_contender(materials, target, compute, CONVERT_MODEL, compute) for compute in computes]


def _nncf(materials: Materials) -> list[Contender]:
    return _quantised_by_nncf(materials, NNCF, {})


def _nncf_performance(materials: Materials) -> list[Contender]:
    import nncf

    return _quantised_by_nncf(materials, NNCF_PERFORMANCE, {"preset": nncf.QuantizationPreset.PERFORMANCE})


def _quantised_by_nncf(materials: Materials, name: str, options: dict[str, Any]) -> list[Contender]:
    import nncf
    import openvino

    quantised = nncf.quantize(
        _converted(materials),
        nncf.Dataset(list(whole_batches(materials))),
        model_type=nncf.ModelType.TRANSFORMER,
        **options,
    )
    target = materials.place(name) / "model.xml"
    openvino.save_model(quantised, target, compress_to_fp16=False)
    compute = "bf16" if materials.bf16 else "fp32"
    remark = f"calibrated on {materials.images}"
    return [_openvino_contender(materials, target, "int8", name, compute, remark)]


_OPTIMUM = ("optimum", "transformers", "onnxruntime")
_OPTIMUM_CURE = "pip install optimum-onnx"

PEERS: tuple[Peer, ...] = (
    Peer(TORCH_ONNX, ("onnxruntime", "onnxscript"), _torch_onnx),
    Peer(ORT_DYNAMIC, ("onnxruntime", "onnxscript"), _ort_dynamic),
    Peer(ORT_STATIC, ("onnxruntime", "onnxscript"), _ort_static),
    Peer(CONVERT_MODEL, ("openvino",), _convert_model),
    Peer(NNCF, ("openvino", "nncf"), _nncf),
    Peer(NNCF_PERFORMANCE, ("openvino", "nncf"), _nncf_performance),
    Peer(peer_optimum.EXPORTED, _OPTIMUM, peer_optimum.exported, _OPTIMUM_CURE),
    Peer(peer_optimum.DYNAMIC, _OPTIMUM, peer_optimum.dynamic, _OPTIMUM_CURE),
    Peer(peer_optimum.STATIC, _OPTIMUM, peer_optimum.static, _OPTIMUM_CURE),
)


def _plain_onnx(materials: Materials) -> Path:
    """``torch.onnx.export(model, batch, path)``, once for all that begin with it."""
    target = materials.place(TORCH_ONNX) / "model.onnx"
    if not target.exists():
        subject = materials.subject
        torch.onnx.export(
            subject.network, (materials.example,), str(target), input_names=[_INPUT],
            output_names=list(subject.outputs), dynamo=True, verbose=False,
        )  # fmt: skip
    return target


def _preprocessed(materials: Materials) -> Path:
    """What ONNX Runtime's documentation has done before quantisation."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = materials.folder / "preprocessed.onnx"
    if not target.exists():
        quant_pre_process(str(_plain_onnx(materials)), str(target))
    return target


def _converted(materials: Materials) -> Any:
    import openvino

    example = materials.example
    return openvino.convert_model(materials.subject.network, example_input=example, input=[list(example.shape)])


def _onnx_contender(materials: Materials, file: Path, precision: str, maker: str, *remarks: str) -> Contender:
    return Contender(
        engine="onnxruntime", precision=precision, maker=maker, opener="onnxruntime", file=file, compute="fp32",
        outputs=materials.subject.outputs, remarks=remarks,
    )  # fmt: skip


def _openvino_contender(
    materials: Materials, file: Path, precision: str, maker: str, compute: str, *remarks: str
) -> Contender:
    return Contender(
        engine="openvino", precision=precision, maker=maker, opener="openvino", file=file, compute=compute,
        outputs=materials.subject.outputs, remarks=remarks,
    )  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Peers report their own progress; the table is the only voice the user shall hear."""
    names = ("torch.onnx", "torch.utils.cpp_extension", "nncf", "openvino", "root", "onnxscript", "optimum")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
