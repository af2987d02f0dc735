"""What only an NVIDIA GPU can show: `pytest -m gpu`, or python -m radiodino.benchmarks.gpu_evidence."""

from __future__ import annotations

import numpy as np
import pytest

from radiodino.runtime import Model
from radiodino.runtime.backends import BACKENDS, cuda
from radiodino.runtime.nvidia import gpus
from radiodino.runtime.preprocessing import Preprocessor

pytestmark = pytest.mark.gpu

LEAST_COSINE = 0.9999


@pytest.fixture(scope="module", autouse=True)
def _gpu():
    problem = BACKENDS["cuda"].status().problem or cuda.problem()
    if problem:
        pytest.skip(problem)


def network_inputs(count):
    return np.random.default_rng(count).standard_normal((count, 3, 64, 64)).astype(np.float32)


def embeddings(path, batch, backend="cuda", **options):
    return Model.load(path, backend=backend, cache=False, **options).run(batch)["embedding"]


def smallest_cosine(found, wanted):
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((found * wanted).sum(axis=1) / lengths).min())


def test_the_driver_names_its_gpus():
    assert gpus()
    assert all(gpu.memory_mib > 0 and "." in gpu.compute_capability for gpu in gpus())


def test_fp32_is_fp32(toy_fp32):
    batch = network_inputs(7)
    wanted = embeddings(toy_fp32, batch, "onnxruntime")
    assert np.abs(embeddings(toy_fp32, batch) - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_fp16_agrees_with_the_cpu(toy_fp16, batch_size):
    batch = network_inputs(batch_size)
    model = Model.load(toy_fp16, backend="cuda", batch_size=batch_size)
    assert model.info.compute == "fp16"
    assert smallest_cosine(model.run(batch)["embedding"], embeddings(toy_fp16, batch, "onnxruntime")) >= LEAST_COSINE


def test_every_head_agrees_with_the_cpu(toy_tasks):
    batch = network_inputs(3)
    wanted = Model.load(toy_tasks, backend="onnxruntime").run(batch)
    found = Model.load(toy_tasks, backend="cuda", batch_size=3).run(batch)
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        assert np.abs(values - wanted[name]).max() <= 1e-3 * np.abs(wanted[name]).max(), name


def test_a_captured_graph_answers_for_the_batch_it_is_given(toy_fp16):
    """One image at a time is captured and replayed; other sizes between are not, and must not disturb it."""
    model = Model.load(toy_fp16, backend="cuda")
    one, other, many = network_inputs(1), network_inputs(2)[:1], network_inputs(5)
    first = model.run(one)["embedding"]
    others = model.run(other)["embedding"]
    for size in (2, 3, 4, 5):
        model.run(many[:size])
    assert not np.array_equal(first, others)
    assert np.array_equal(model.run(one)["embedding"], first)
    assert np.array_equal(model.run(other)["embedding"], others)


def test_pixels_normalised_on_the_gpu_give_the_same_bits(toy_fp16, images):
    model = Model.load(toy_fp16, backend="cuda", batch_size=4)
    assert model.backend.takes_pixels
    prepared = Preprocessor(model.info.preprocessing)
    pictures = [image.convert("RGB") for image in images[:4]]
    pixels, floats = (np.stack([make(image) for image in pictures]) for make in (prepared.pixels, prepared))
    assert np.array_equal(model.run(pixels)["embedding"], model.run(floats)["embedding"])
    assert np.array_equal(model.embed(pictures, 4), model.run(floats)["embedding"])


def test_tensorrt_agrees_with_the_cpu_or_says_why_not(toy_fp16):
    import onnxruntime

    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no TensorRT provider")
    from radiodino.runtime.nvidia_libraries import tensorrt_library

    if not tensorrt_library()[0].where:
        pytest.skip("TensorRT is not installed")
    batch = network_inputs(5)
    model = Model.load(toy_fp16, backend="ort-tensorrt", batch_size=2)  # five are run as two, two and one
    found = model.run(batch)["embedding"]
    assert smallest_cosine(found, embeddings(toy_fp16, batch, "onnxruntime")) >= LEAST_COSINE
