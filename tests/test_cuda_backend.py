"""ONNX Runtime on a GPU, as far as it can be shown without one: its buffers, its pixels and its options are tried with
the same code on ONNX Runtime's CPU provider; tests/test_gpu.py has the rest."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

onnxruntime = pytest.importorskip("onnxruntime")

from radiodino.runtime import BackendError, InputError, Model, ModelFileError  # noqa: E402
from radiodino.runtime.backends import BACKENDS, auto_choice, cuda, statuses, tensorrt_provider  # noqa: E402
from radiodino.runtime.backends import onnxruntime as cpu  # noqa: E402
from radiodino.runtime.backends.cuda import CudaBackend  # noqa: E402
from radiodino.runtime.backends.pixel_lookup import lookup_graph  # noqa: E402
from radiodino.runtime.backends.protocol import Job  # noqa: E402
from radiodino.runtime.errors import RadioDinoError  # noqa: E402
from radiodino.runtime.graph_edit import graph_input  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.preprocessing import Preprocessor  # noqa: E402

SETTINGS = [
    Preprocessing(),
    Preprocessing(resize=(16, 24), interpolation="bicubic", value_range=(-1.0, 1.0)),
    Preprocessing(resize=(16, 16), mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3)),
]


def network_inputs(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, 64, 64)).astype(np.float32)


def job(path, **options):
    return Job(path, **{"precision": "fp32", "cache_key": None, "compute": None, "threads": None, **options})


@pytest.fixture
def on_the_cpu(monkeypatch):
    """The backend `cuda` with ONNX Runtime's CPU provider and buffers in the place of the GPU's."""
    monkeypatch.setattr(cpu, "_installed", lambda: {"onnxruntime-gpu": onnxruntime.__version__})
    monkeypatch.setitem(cuda._KINDS, "cuda", cuda._Kind("CPUExecutionProvider", "cpu", False))
    monkeypatch.setattr(CudaBackend, "_cuda", lambda self, captures: ["CPUExecutionProvider"])


# Pixels normalised on the device.


@pytest.mark.parametrize("settings", SETTINGS)
def test_pixels_and_levels_are_the_input_to_the_bit(settings, images):
    prepared = Preprocessor(settings)
    levels = prepared.levels()
    assert (levels.dtype, levels.shape) == (np.float32, (3, 256))
    for image in images:
        pixels = prepared.pixels(image)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (3, *settings.resize))
        looked_up = np.stack([levels[channel][pixels[channel]] for channel in range(3)])
        assert np.array_equal(looked_up, prepared(image))


def test_the_looked_up_input_has_the_same_bits():
    height, width = 16, 16
    prepared = Preprocessor(Preprocessing(resize=(height, width)))
    session = onnxruntime.InferenceSession(
        lookup_graph(prepared.levels(), height, width), providers=["CPUExecutionProvider"]
    )
    every = np.arange(256, dtype=np.uint8).reshape(height, width)
    images = [Image.fromarray(every), Image.fromarray(np.stack([every, 255 - every, every[::-1]], axis=-1))]
    pixels, floats = (np.stack([make(image) for image in images]) for make in (prepared.pixels, prepared))
    (found,) = session.run(None, {"pixels": pixels})
    assert np.array_equal(found.view(np.uint32), floats.view(np.uint32))


def test_the_graph_is_a_valid_model():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(lookup_graph(np.zeros((3, 256), np.float32), 8, 8))
    onnx.checker.check_model(model, full_check=True)
    assert graph_input(memoryview(model.SerializeToString())) == ("pixels", (-1, 3, 8, 8))


def test_many_images_are_handed_over_as_pixels(on_the_cpu, toy_fp16, images):
    model = Model.load(toy_fp16, backend="cuda", compute="fp32", batch_size=2)
    assert model.backend.takes_pixels
    assert model.preprocess(images[0]).dtype == np.uint8
    floats = np.stack([Preprocessor(model.info.preprocessing)(image.convert("RGB")) for image in images])
    wanted = np.concatenate([model.run(floats[start : start + 2])["embedding"] for start in range(0, len(floats), 2)])
    assert np.array_equal(model.embed([image.convert("RGB") for image in images], 2), wanted)


def test_a_run_over_many_images_hands_over_pixels_and_finds_the_same(on_the_cpu, toy_fp16, tmp_path, png):
    """Files are decoded and resized ahead by threads while the engine computes, as on a CPU."""
    from radiodino.runtime.embed.run import embed_run

    folder = tmp_path / "images"
    folder.mkdir()
    for shade in range(7):
        (folder / f"{shade}.png").write_bytes(png(30 * shade, (80, 60)))
    handed = []
    found = {}
    for batch_size in (3, 1):
        model = Model.load(toy_fp16, backend="cuda", compute="fp32", batch_size=batch_size)
        compute = model.backend.run
        model.backend.run = lambda batch, compute=compute: (
            handed.append((batch.dtype.name, len(batch))) or compute(batch)
        )
        target = tmp_path / f"{batch_size}.npz"
        embed_run(model, [str(folder)], target, batch_size=batch_size)
        with np.load(target) as written:
            found[batch_size] = written["embeddings"]
    assert handed == [("uint8", 3), ("uint8", 3), ("uint8", 1), *[("float32", 1)] * 7]
    assert np.abs(found[3] - found[1]).max() <= 1e-5 * np.abs(found[1]).max()


def test_one_image_is_handed_over_as_floats(on_the_cpu, toy_fp16, images):
    model = Model.load(toy_fp16, backend="cuda", compute="fp32")
    assert not model.backend.takes_pixels
    assert model.preprocess(images[0]).dtype == np.float32
    with pytest.raises(InputError, match="not a uint8 array"):
        model.run(np.zeros((1, 3, 64, 64), np.uint8))


def test_engines_on_the_cpu_take_no_pixels(toy_fp16):
    model = Model.load(toy_fp16, backend="onnxruntime", batch_size=8)
    with pytest.raises(InputError, match="not a uint8 array"):
        model.run(np.zeros((2, 3, 64, 64), np.uint8))


# Buffers.


def test_answers_are_those_of_the_cpu(on_the_cpu, toy_tasks):
    backend, plain = CudaBackend(job(toy_tasks)), cpu.OnnxRuntimeBackend(job(toy_tasks, threads=1))
    assert (backend.input_shape, backend.output_shapes) == (plain.input_shape, plain.output_shapes)
    for count in (1, 2, 7):
        found, wanted = backend.run(network_inputs(count)), plain.run(network_inputs(count))
        assert found.keys() == wanted.keys()
        for name, values in found.items():
            assert values.dtype == np.float32
            assert np.abs(values - wanted[name]).max() <= 1e-5 * np.abs(wanted[name]).max(), name


def test_answers_stay_when_buffers_are_used_again(on_the_cpu, toy_fp32):
    backend = CudaBackend(job(toy_fp32))
    first = backend.run(network_inputs(2, seed=1))
    kept = {name: values.copy() for name, values in first.items()}
    backend.run(network_inputs(2, seed=2))
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


def test_buffers_are_kept_for_two_sizes(on_the_cpu, toy_fp32):
    backend = CudaBackend(job(toy_fp32))
    of_two = backend.run(network_inputs(2))["embedding"]
    buffers = backend._buffers[2]
    for count in (5, 2, 5, 2):
        backend.run(network_inputs(count))
        assert backend._buffers[2] is buffers
    for count in (3, 4, 6):
        backend.run(network_inputs(count))
    assert list(backend._buffers) == [4, 6]
    assert np.array_equal(backend.run(network_inputs(2))["embedding"], of_two)


def test_the_buffers_that_a_graph_was_captured_with_are_never_given_up(on_the_cpu, toy_fp32):
    backend = CudaBackend(job(toy_fp32))
    backend.run(network_inputs(1))
    buffers, backend._captures = backend._buffers[1], True
    for count in (2, 3, 4, 5):
        backend._buffers_for(count)
    assert backend._buffers[1] is buffers
    assert len(backend._buffers) == 3


def test_a_batch_that_the_engine_refuses_is_one_sentence(on_the_cpu, toy_fp32):
    with pytest.raises(BackendError, match="failed on a batch"):
        CudaBackend(job(toy_fp32)).run(np.zeros((1, 3, 32, 32), np.float32))


def test_larger_batches_than_an_engine_takes_are_run_in_parts(on_the_cpu, toy_fp32):
    backend = CudaBackend(job(toy_fp32))
    whole = backend.run(network_inputs(5))
    backend._most = 2
    parts = backend.run(network_inputs(5))
    for name, values in whole.items():
        assert parts[name].shape == values.shape
        assert np.abs(parts[name] - values).max() <= 1e-5 * np.abs(values).max()


# What is captured.


def test_one_image_is_captured_and_where_that_fails_it_is_not(on_the_cpu, toy_fp32, monkeypatch):
    """ONNX Runtime refuses to open a graph for capture, part of which it computes on the CPU."""
    monkeypatch.setitem(cuda._KINDS, "cuda", cuda._Kind("CPUExecutionProvider", "cpu", True))
    asked = []

    def session(engine, model, weights, options, providers):
        asked.append(providers)
        if providers == ["captures"]:
            raise RuntimeError("This session cannot use the graph capture feature as requested by the user")
        return cpu.session(engine, model, weights, options, ["CPUExecutionProvider"])

    monkeypatch.setattr(cuda, "session", session)
    monkeypatch.setattr(CudaBackend, "_cuda", lambda self, captures: ["captures" if captures else "plain"])
    CudaBackend(job(toy_fp32, one_image=True)).run(network_inputs(1))
    assert asked == [["captures"], ["plain"]]
    asked.clear()
    CudaBackend(job(toy_fp32)).run(network_inputs(1))
    CudaBackend(job(toy_fp32, one_image=True, optimised=False)).run(network_inputs(1))
    assert asked == [["plain"], ["plain"]]


def test_a_file_that_cannot_be_opened_is_the_files_fault(on_the_cpu, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(ModelFileError, match=r"cut\.onnx"):
        CudaBackend(job(path, one_image=True))


def test_tf32_is_never_used():
    for captures in (False, True):
        ((name, options),) = CudaBackend._cuda(None, captures)
        assert name == "CUDAExecutionProvider"
        assert options["use_tf32"] == "0"
        assert options["enable_cuda_graph"] == str(int(captures))


# ONNX Runtime's TensorRT provider.


def test_auto_never_takes_a_provider_that_builds_for_minutes():
    names = [status.name for status in statuses()]
    assert "ort-tensorrt" in names
    taken, passed_over = auto_choice(statuses())
    assert taken != "ort-tensorrt"
    assert not any("ort-tensorrt" in reason for reason in passed_over)


def test_tensorrt_asked_for_and_not_active_is_an_error(toy_fp16, toy_fp32, monkeypatch):
    if BACKENDS["ort-tensorrt"].status().arithmetic:
        pytest.skip("this machine has onnxruntime-gpu")
    with pytest.raises(BackendError, match=r"'ort-tensorrt' cannot be used: onnxruntime-gpu is not installed"):
        Model.load(toy_fp16, backend="ort-tensorrt")
    monkeypatch.setattr(cpu, "_installed", lambda: {"onnxruntime-gpu": "1.0"})
    with pytest.raises(
        BackendError, match="TensorrtExecutionProvider was asked for and CPUExecutionProvider is active"
    ):
        Model.load(toy_fp16, backend="ort-tensorrt")
    with pytest.raises(BackendError, match="does not compute an fp32 file in fp32"):
        Model.load(toy_fp32, backend="ort-tensorrt")


@pytest.mark.parametrize("backend", ["cuda", "ort-tensorrt"])
def test_an_int8_file_is_refused(toy_fp32, backend):
    from radiodino.runtime.backends import open_backend

    with pytest.raises(BackendError, match="made for CPUs"):
        open_backend(job(toy_fp32, precision="int8"), backend)


def missing(name):
    raise OSError(name)


def test_the_provider_is_told_shapes_and_where_to_keep_its_engine(toy_fp16, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path))
    asked = job(toy_fp16, precision="fp16", cache_key="c0ffee" * 8, images=16)
    options = tensorrt_provider.provider_options(asked, "1.23", "image", (3, 64, 64), missing)
    assert options["trt_profile_min_shapes"] == "image:1x3x64x64"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"] == "image:16x3x64x64"
    assert options["trt_fp16_enable"] == options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"].startswith(str(tmp_path))
    plain = tensorrt_provider.provider_options(job(toy_fp16, images=16), "1.23", "image", (3, 64, 64), missing)
    assert not any("cache" in name for name in plain)


def test_whatever_an_engine_would_not_fit_has_another_folder(toy_fp16, monkeypatch):
    from radiodino.runtime.nvidia import Gpu, Nvidia

    def folder(name="A", capability="9.0", driver="570.1", version="1.23", key="a" * 64, images=8):
        found = Nvidia(driver, "12.8", (Gpu(name, capability, 1000, driver),), None)
        monkeypatch.setattr(tensorrt_provider, "nvidia", lambda *_: found)
        return tensorrt_provider.cache_folder(job(toy_fp16, cache_key=key, images=images), version, missing)

    assert folder() == folder()
    others = [
        folder(name="B"), folder(capability="8.9"), folder(driver="580.1"), folder(version="1.24"),
        folder(key="b" * 64), folder(images=16), folder(),
    ]  # fmt: skip
    assert len(set(others)) == len(others)


def test_the_input_is_read_from_the_file(toy_fp16, tmp_path):
    assert cuda._one_image(toy_fp16) == ("image", (3, 64, 64))
    path = tmp_path / "identity.onnx"
    path.write_bytes(cuda.identity())
    with pytest.raises(RadioDinoError, match="no images of a fixed size"):
        cuda._one_image(path)
