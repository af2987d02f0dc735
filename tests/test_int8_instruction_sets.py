"""Proof by running: on CPUs that add products of bytes in 16 bits the embeddings are the same."""

from __future__ import annotations

import platform

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("typer")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from radiodino.benchmarks.instruction_sets import (  # noqa: E402
    EMULATED,
    LIMITED,
    NATIVE,
    REFERENCE,
    Cpu,
    embeddings,
    emulator,
)
from radiodino.export.int8.plan import PLAIN, plan_quantisation  # noqa: E402
from radiodino.export.int8.quantise import write  # noqa: E402
from radiodino.runtime.errors import BackendError  # noqa: E402

SIZE = 64
BEYOND = 1e-3
"""1 - cosine of an embedding beside that of the same file computed in float."""

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")


def images(count, seed):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def distance(a, b):
    return 1 - float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


@pytest.fixture(scope="module")
def files(toy_fp32, tmp_path_factory):
    """The same network with pair-safe and with unrestricted weights, near the largest there are."""
    model = onnx.load(toy_fp32)
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".mlp.fc2.weight"):  # after GELU, whose large values are rare and nearly all positive
            loud = np.abs(onnx.numpy_helper.to_array(tensor))
            tensor.CopyFrom(onnx.numpy_helper.from_array(loud, tensor.name))
        if tensor.name.endswith(".mlp.fc1.bias"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(tensor.dims, 3, np.float32), tensor.name))
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for name, search in (("pair-safe", None), ("unrestricted", PLAIN)):
        found[name] = folder / f"{name}.onnx"
        found[name].write_bytes(write(plan_quantisation(model, [images(10, 1)], search)).model.SerializeToString())
    return found


@pytest.fixture(scope="module")
def in_float(files):
    return {name: embeddings(path, images(3, 2), REFERENCE) for name, path in files.items()}


@pytest.mark.parametrize("cpu", [NATIVE[0], NATIVE[1], *LIMITED], ids=lambda cpu: f"{cpu.engine}, {cpu.name}")
def test_pair_safe_weights_are_right_on_every_cpu(files, in_float, cpu):
    assert distance(embeddings(files["pair-safe"], images(3, 2), cpu), in_float["pair-safe"]) < 1e-5


@pytest.mark.parametrize("cpu", LIMITED, ids=lambda cpu: cpu.name)
def test_unrestricted_ones_are_wrong_without_vnni(files, in_float, cpu):
    assert distance(embeddings(files["unrestricted"], images(3, 2), cpu), in_float["unrestricted"]) > BEYOND


def test_an_emulated_cpu_proves_it_for_onnx_runtime(files, in_float):
    """Which has no limit of its own; OpenVINO is emulated by the command alone, it takes a minute to start there."""
    if emulator() is None:
        pytest.skip("no qemu-user here: install Debian's package qemu-user-static")
    cpu = EMULATED[0]
    assert distance(embeddings(files["pair-safe"], images(1, 2), cpu), in_float["pair-safe"][:1]) < 1e-5
    assert distance(embeddings(files["unrestricted"], images(1, 2), cpu), in_float["unrestricted"][:1]) > BEYOND


def test_a_process_that_fails_says_so(tmp_path):
    (tmp_path / "none.onnx").write_bytes(b"nothing")
    with pytest.raises(BackendError, match="onnxruntime on this CPU ended with status 1"):
        embeddings(tmp_path / "none.onnx", images(1, 0), NATIVE[0])


def test_without_an_emulator_the_cure_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="install Debian's package qemu-user-static"):
        embeddings(tmp_path / "any.onnx", images(1, 0), Cpu("emulated", "openvino", emulated="Haswell"))
