"""The fastest matrix product of this machine in each arithmetic: what an engine's GFLOP/s are a share of.

Measured in the same rounds as the contenders, with the same threads and instruction sets, by each engine that has such
a product; the fastest run counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .contender import Contender
from .isa import UNLIMITED
from .rounds import Measured

MAKER = "matrix product"
SIDE = 1536
"""Of the square matrices on a CPU: a product takes milliseconds, and reading them is little of it."""
CUDA_SIDE = 8192


def products(
    arithmetics: Sequence[str], devices: Sequence[str], folder: Path, side: int, *, limited: bool = False
) -> list[Contender]:
    """Contenders that multiply two matrices.

    Args:
        arithmetics: of ``fp32``, ``bf16``, ``fp16``, ``int8``; those that nothing here multiplies in are passed over.
        devices: of ``cpu`` and ``cuda``.
        folder: for their files.
        side: of the matrices on the CPU; twice as long where a product is quick.
        limited: whether instruction sets are limited, as ONNX Runtime's cannot be.
    """
    found = []
    if "cpu" in devices:
        for engine, arithmetic, make, longer in _CPU:
            if arithmetic not in arithmetics or find_spec(engine) is None or (limited and engine in UNLIMITED):
                continue
            file, batch = make(folder, longer * side)
            compute = "fp32" if arithmetic == "int8" else arithmetic
            found.append(_contender(engine, arithmetic, engine, file, batch, compute, "cpu"))
    if "cuda" in devices:
        batch = folder / "product-cuda.npy"
        np.save(batch, np.random.default_rng(0).standard_normal((CUDA_SIDE, CUDA_SIDE), np.float32))
        for arithmetic in arithmetics:
            if arithmetic != "int8":
                found.append(_contender("pytorch", arithmetic, "torch product", batch, batch, arithmetic, "cuda"))
    return found


def peaks(measured: Mapping[Contender, Measured]) -> dict[str, float]:
    """GFLOP/s of the fastest product by ``device arithmetic``.

    Args:
        measured: of any contenders, those of `products` among them.
    """
    found: dict[str, float] = {}
    for contender, result in measured.items():
        if contender.maker != MAKER or contender.batch is None:
            continue
        side = int(np.load(contender.batch, mmap_mode="r").shape[0])
        fastest = min(seconds for one in result.rounds for seconds in one.seconds)
        key = peak_key(contender.device, contender.precision)
        found[key] = max(found.get(key, 0.0), 2 * side**3 / fastest / 1e9)
    return found


def peak_key(device: str, arithmetic: str) -> str:
    """The key of `peaks`."""
    return f"{device} {arithmetic}"


def arithmetic_of(precision: str, compute: str) -> str:
    """The arithmetic that nearly all multiply-adds of a file are done in."""
    return "int8" if precision.startswith("int8") else compute


def _contender(
    engine: str, arithmetic: str, opener: str, file: Path, batch: Path, compute: str, device: str
) -> Contender:
    return Contender(
        engine=engine, precision=arithmetic, maker=MAKER, opener=opener, file=file, compute=compute, device=device,
        batch=batch, outputs=("product",),
    )  # fmt: skip


Made = tuple[Path, Path]
"""A file and its batch."""


def _float_product(folder: Path, side: int) -> Made:
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.standard_normal((side, side), np.float32), "weight")
    node = helper.make_node("MatMul", ["x", "weight"], ["product"])
    file = _save(folder / f"product-float-{side}.onnx", [node], [weight], TensorProto.FLOAT, side)
    batch = folder / f"product-float-{side}.npy"
    np.save(batch, random.standard_normal((side, side), np.float32))
    return file, batch


def _whole_product(folder: Path, side: int) -> Made:
    """Unsigned times signed 8-bit numbers, as in an int8 file."""
    random = np.random.default_rng(0)
    nodes = [helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["left"])]
    batch = folder / "product-whole.npy"
    np.save(batch, random.integers(0, 256, (side, side), np.uint8))
    return _whole(folder / "product-whole.onnx", nodes, TensorProto.UINT8, side), batch


def _rounded_product(folder: Path, side: int) -> Made:
    """The same of numbers that are rounded first: OpenVINO multiplies in 8 bits only where a graph rounds."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "zero"], ["left"]),
    ]
    batch = folder / "product-rounded.npy"
    np.save(batch, random.uniform(-1.28, 1.27, (side, side)).astype(np.float32))
    return _whole(folder / "product-rounded.onnx", nodes, TensorProto.FLOAT, side), batch


_CPU: tuple[tuple[str, str, Callable[[Path, int], Made], int], ...] = (
    # engine, arithmetic, file, how much longer the sides are
    ("onnxruntime", "fp32", _float_product, 1),
    ("openvino", "fp32", _float_product, 1),
    ("openvino", "bf16", _float_product, 2),
    ("onnxruntime", "int8", _whole_product, 1),
    ("openvino", "int8", _rounded_product, 2),
)


def _whole(path: Path, nodes: list[onnx.NodeProto], kind: int, side: int) -> Path:
    """`nodes`, which make ``left`` of ``x``, times a matrix of numbers so small that no CPU saturates."""
    random = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(random.integers(-63, 64, (side, side), np.int8), "whole"),
        numpy_helper.from_array(np.array(0.01, np.float32), "scale"),
        numpy_helper.from_array(np.array(128, np.uint8), "zero"),
        numpy_helper.from_array(np.array(0, np.int8), "none"),
    ]
    product = [
        helper.make_node("DequantizeLinear", ["whole", "scale", "none"], ["right"]),
        helper.make_node("MatMul", ["left", "right"], ["product"]),
    ]
    return _save(path, [*nodes, *product], tensors, kind, side)


def _save(path: Path, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], kind: int, side: int) -> Path:
    shape = [side, side]
    entry = helper.make_tensor_value_info("x", kind, shape)
    result = helper.make_tensor_value_info("product", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "product", [entry], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path
