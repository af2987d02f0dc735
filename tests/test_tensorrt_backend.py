"""Engines built and run on a faked card: the calls are those that the real bindings document, the numbers are real."""

from __future__ import annotations

import gc
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")  # with which the fake's parser looks at a network
pytest.importorskip("onnxruntime")

from radiodino.export.cli import main
from radiodino.export.tensorrt import reference
from radiodino.export.tensorrt.build import timing_cache_path
from radiodino.runtime import BackendError, InputError, Model, ModelFileError
from radiodino.runtime.backends import tensorrt as backend
from radiodino.runtime.cli import main as run_main
from radiodino.runtime.engine_file import engine_info
from radiodino.runtime.errors import MissingExtraError
from radiodino.runtime.home import home
from radiodino.runtime.model_file import read_model_file


@pytest.fixture
def onnx(here, monkeypatch, toy_fp16):
    """A copy of the toy's fp16 file, in a folder and with a home of its own."""
    monkeypatch.setenv("RADIODINO_HOME", str(here / "home"))
    path = here / "toy.onnx"
    path.write_bytes(toy_fp16.read_bytes())
    return path


@pytest.fixture(scope="module")
def _kept():
    return {}


@pytest.fixture(autouse=True)
def _answers_of_the_onnx_file_are_computed_once(monkeypatch, _kept):
    compute = reference.from_onnx

    def once(path):
        key = read_model_file(path).sha256
        if key not in _kept:
            _kept[key] = compute(path)
        return _kept[key]

    monkeypatch.setattr(reference, "from_onnx", once)


@pytest.fixture
def built(onnx, gpu, command, _kept):
    """An engine for 2 to 5 images."""
    path = onnx.with_suffix(".engine")
    if "engine" not in _kept:
        ended = command(main, "engine", onnx, "--batch", "2,3,5")
        assert ended.status == 0, ended.err
        _kept["engine"] = path.read_bytes()
        gpu.calls.clear()
    path.write_bytes(_kept["engine"])
    return path


def batch(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, 64, 64)).astype(np.float32)


def on_cpu(onnx, images):
    return Model.load(onnx, backend="onnxruntime", compute="fp32").run(images)


# Building


def test_an_engine_is_built_from_the_onnx_file_alone(onnx, gpu, command):
    ended = command(main, "engine", onnx, "--batch", "1,4,8")
    assert ended.status == 0
    path = onnx.with_suffix(".engine")
    file = read_model_file(path)
    found = engine_info(file)
    assert (found.key.tensorrt, found.key.device, found.key.driver) == ("10.9.0.34", "NVIDIA Toy 1", "570.1")
    assert (found.onnx_name, found.onnx_sha256) == ("toy.onnx", read_model_file(onnx).sha256)
    assert file.document == read_model_file(onnx).document
    assert found.compute == "fp16"
    for said in (file.sha256, "1 to 8 images at once", "NVIDIA Toy 1, driver 570.1, TensorRT 10.9.0.34", "toy.onnx in"):
        assert said in ended.out
    assert gpu.named("IOptimizationProfile.set_shape") == [("image", (1, 3, 64, 64), (4, 3, 64, 64), (8, 3, 64, 64))]
    assert gpu.named("Builder.create_network") == [(2,)]  # 1 << STRONGLY_TYPED
    assert gpu.named("IBuilderConfig.clear_flag") == [(gpu.tensorrt.BuilderFlag.TF32,)]
    assert gpu.named("OnnxParser.parse") == [(onnx.read_bytes(),)]
    assert not gpu.alive  # what the verification took on the card


def test_the_engine_records_its_verification(built):
    report = engine_info(read_model_file(built)).verification
    assert report["passed"]
    assert (report["images"], report["batches"]) == (10, [1, 2, 7])
    assert re.fullmatch(r"toy\.onnx in (openvino|onnxruntime) [\d.]+, fp32", report["reference"])
    assert {entry["output"] for entry in report["comparisons"]} == {"embedding", "patch_tokens", "attention"}
    assert all(0.999 < entry["cosine"] <= 1.0 + 1e-9 for entry in report["comparisons"])


def test_timings_are_kept_for_the_next_build(onnx, gpu, command):
    command(main, "engine", onnx)
    assert gpu.named("IBuilderConfig.create_timing_cache") == [(b"",)]
    gpu.calls.clear()
    assert command(main, "engine", onnx, "--force").status == 0
    assert gpu.named("IBuilderConfig.create_timing_cache") == [(b"timings;",)]
    order = ["IBuilderConfig.set_timing_cache", "Builder.build_serialized_network", "ITimingCache.serialize"]
    assert gpu.order(*order) == order
    kept = timing_cache_path(backend.engine_key())
    assert kept.parent == home() / "tensorrt"
    assert kept.read_bytes()[64:] == b"timings;timings;"
    for part in ("10.9.0.34", "NVIDIA-Toy-1", "9.0", "570.1"):
        assert part in kept.name


def test_timings_of_another_card_are_not_used(onnx, gpu, command):
    """The path names the card; and TensorRT itself looks at what is in the file."""
    command(main, "engine", onnx)
    gpu.strict_timings = True
    gpu.calls.clear()
    assert command(main, "engine", onnx, "--force").status == 0
    assert gpu.named("IBuilderConfig.create_timing_cache") == [(b"timings;",), (b"",)]


def test_without_a_timing_cache_it_is_built_all_the_same(onnx, gpu, command):
    gpu.failing = {"IBuilderConfig.set_timing_cache": False}
    assert command(main, "engine", onnx).status == 0
    assert not timing_cache_path(backend.engine_key()).exists()


def test_a_damaged_timing_cache_is_not_used(onnx, gpu, command):
    command(main, "engine", onnx)
    kept = timing_cache_path(backend.engine_key())
    kept.write_bytes(kept.read_bytes()[:-1])
    gpu.calls.clear()
    assert command(main, "engine", onnx, "--force").status == 0
    assert gpu.named("IBuilderConfig.create_timing_cache") == [(b"",)]


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ({"Builder.__init__": TypeError("factory function returned nullptr")}, "cannot use this card"),
        ({"OnnxParser.parse": False}, "cannot read the network"),
        ({"IBuilderConfig.add_optimization_profile": -1}, "cannot build for batches of 1,1,16"),
        ({"Builder.build_serialized_network": None}, "cannot build the engine: TensorRT gives no reason"),
        ({"Runtime.__init__": TypeError("factory function returned nullptr")}, "failed in Runtime"),
        ({"Runtime.deserialize_cuda_engine": None}, "cannot open"),
        ({"ICudaEngine.create_execution_context": None}, "failed in create_execution_context"),
        ({"IExecutionContext.set_input_shape": False}, "failed in set_input_shape"),
        ({"IExecutionContext.set_tensor_address": False}, "failed in set_tensor_address"),
        ({"IExecutionContext.execute_async_v3": False}, "failed in execute_async_v3"),
    ],
)
def test_what_tensorrt_refuses_is_one_sentence_and_nothing_is_written(onnx, gpu, refused, failing, sentence):
    gpu.failing = failing
    assert sentence in refused(main, "engine", onnx)
    assert not gpu.alive
    assert [path.name for path in onnx.parent.iterdir() if path.is_file()] == ["toy.onnx"]


def test_the_builders_first_error_is_the_one_that_is_said(onnx, gpu, refused, monkeypatch):
    build = gpu.tensorrt.Builder.build_serialized_network

    def fails(self, *arguments):
        build(self, *arguments)
        severity = gpu.tensorrt.ILogger.Severity
        self.logger.log(severity.WARNING, "no matter")
        self.logger.log(severity.ERROR, "Error Code 10:\n  no implementation for node {ForeignNode[x]}")
        self.logger.log(severity.INTERNAL_ERROR, "what follows from it")

    monkeypatch.setattr(gpu.tensorrt.Builder, "build_serialized_network", fails)
    said = refused(main, "engine", onnx)
    assert "cannot build the engine: Error Code 10: no implementation for node {ForeignNode[x]}; check" in said


def test_an_engine_with_other_answers_is_refused_and_not_written(onnx, gpu, refused):
    gpu.distort = np.linspace(0.8, 1.2, 48, dtype=np.float32)
    said = refused(main, "engine", onnx)
    assert "the engine differs from toy.onnx in" in said
    assert "output 'embedding' in tensorrt 10.9.0.34 (fp16)" in said
    assert not onnx.with_suffix(".engine").exists()
    assert not gpu.alive


def test_answers_that_are_no_numbers_are_refused(onnx, gpu, refused):
    gpu.distort = np.float32(np.nan)
    assert "the engine differs" in refused(main, "engine", onnx)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.onnx"], "there is no file"),
        (["toy.onnx", "--batch", "4,2,1"], "MIN ≤ OPT ≤ MAX"),
        (["toy.onnx", "--best"], "toy.onnx is fp16"),
        (["toy.onnx", "-o", "toy.plan"], "named NAME.engine"),
        (["toy.onnx", "-o", "elsewhere/toy.engine"], "beside its ONNX file"),
        (["foreign.onnx"], "carries no radiodino metadata"),
    ],
)
def test_mistakes_are_said_before_the_card_is_used(onnx, gpu, refused, arguments, sentence):
    from onnx import load_model, save_model

    model = load_model(onnx)
    del model.metadata_props[:]
    save_model(model, "foreign.onnx")
    assert sentence in refused(main, "engine", *arguments)
    assert not gpu.order("Builder.__init__", "cudaMalloc")


def test_an_existing_engine_is_replaced_only_with_force(built, refused, command):
    before = built.read_bytes()
    assert "exists already" in refused(main, "engine", "toy.onnx")
    assert built.read_bytes() == before
    assert command(main, "engine", "toy.onnx", "--force").status == 0


def test_an_engine_is_not_built_from_an_engine(built, refused):
    assert "is an engine already" in refused(main, "engine", built, "--force")


def test_an_engine_is_built_where_pytorch_is_not_installed(onnx):
    """All that the command imports, in a process in which PyTorch and what goes with it cannot be imported."""
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'onnx', 'onnxscript', 'safetensors'): sys.modules[name] = None\n"
        "import radiodino.export.cli\n"
        "import radiodino.export.tensorrt.export_engine, radiodino.export.tensorrt.build\n"
        "from pathlib import Path\n"
        "from radiodino.export.tensorrt.reference import from_onnx\n"
        "assert len(from_onnx(Path('toy.onnx')).outputs) == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Running


def test_answers_are_those_of_the_onnx_file(built, onnx, gpu):
    model = Model.load(built)
    assert (model.info.backend, model.info.compute, model.info.backend_version) == ("tensorrt", "fp16", "10.9.0.34")
    assert model.info.engine.onnx_name == "toy.onnx"
    for count in (1, 2, 5, 11, 2):  # below the profile's least, within, its most, beyond, and again
        images = batch(count, count)
        found, wanted = model.run(images), on_cpu(onnx, images)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            assert found[name].shape == values.shape
            assert found[name].dtype == np.float32
            assert np.abs(found[name] - values).max() < 0.01 * np.abs(values).max()


def test_an_image_does_not_depend_on_what_ran_before(built):
    """Buffers are used again; what stood in them must not show."""
    images = batch(5)
    fresh = Model.load(built).run(images[:1])["embedding"]
    model = Model.load(built)
    whole = model.run(images)["embedding"]
    again = model.run(images[:1])["embedding"]
    model.run(batch(5, 9))
    assert np.array_equal(again, fresh)
    assert np.abs(whole[:1] - fresh).max() < 1e-2 * np.abs(fresh).max()


def test_results_are_no_views_of_the_buffers(built):
    model = Model.load(built)
    first = model.run(batch(3))["embedding"]
    kept = first.copy()
    model.run(batch(3, 1))
    model.backend.close()
    assert np.array_equal(first, kept)


def test_a_batch_is_captured_once_and_replayed_after(built, gpu):
    model = Model.load(built)
    names = (
        "cudaMemcpyAsync", "IExecutionContext.execute_async_v3", "cudaStreamBeginCapture", "cudaStreamEndCapture",
        "cudaGraphInstantiate", "cudaGraphLaunch", "cudaStreamSynchronize",
    )  # fmt: skip
    enqueued = ["cudaMemcpyAsync", "IExecutionContext.execute_async_v3", *["cudaMemcpyAsync"] * 3]
    captured = ["cudaStreamBeginCapture", *enqueued, "cudaStreamEndCapture", "cudaGraphInstantiate"]
    first = model.run(batch(3))["embedding"]
    assert gpu.order(*names) == [*enqueued, "cudaStreamSynchronize", *captured]
    gpu.calls.clear()
    again = model.run(batch(3))["embedding"]
    assert gpu.order(*names) == ["cudaGraphLaunch", "cudaStreamSynchronize"]
    assert np.array_equal(first, again)
    gpu.calls.clear()
    model.run(batch(4))  # another shape: another context and another graph
    assert gpu.order(*names) == [*enqueued, "cudaStreamSynchronize", *captured]
    assert gpu.named("IExecutionContext.set_input_shape") == [("image", (4, 3, 64, 64))]
    gpu.calls.clear()
    model.run(batch(3))  # and the first is right still
    assert gpu.order(*names) == ["cudaGraphLaunch", "cudaStreamSynchronize"]


def test_memory_is_taken_once_for_the_largest_batch(built, gpu):
    model = Model.load(built)
    taken = gpu.order("cudaMalloc", "cudaMallocHost")
    assert len(taken) == 9  # four tensors on either side, and what the kernels need
    assert gpu.named("cudaMallocHost")[0] == (5 * 3 * 64 * 64 * 4,)
    for count in (2, 3, 4, 5):
        model.run(batch(count))
    assert gpu.order("cudaMalloc", "cudaMallocHost") == taken
    assert len(gpu.order("cudaStreamCreateWithFlags")) == 1


def test_all_is_freed_with_the_model(built, gpu):
    model = Model.load(built)
    model.run(batch(3))
    assert gpu.alive
    del model
    gc.collect()
    assert not gpu.alive


def test_a_model_that_was_closed_does_not_run(built, gpu):
    model = Model.load(built)
    model.backend.close()
    model.backend.close()
    assert not gpu.alive
    with pytest.raises(BackendError, match="load it again"):
        model.run(batch(2))


@pytest.mark.parametrize("call", ["cudaStreamCreateWithFlags", "cudaMalloc", "cudaMallocHost"])
def test_what_cuda_refuses_on_opening_is_one_sentence_and_frees_all(built, gpu, refused, call, images):
    images[0].save("image.png")
    gpu.failing = {call: "cudaErrorMemoryAllocation"}
    said = refused(run_main, "embed", "image.png", "--model", built, "-o", "out.csv")
    assert f"CUDA failed in {call} with cudaErrorMemoryAllocation: check the card" in said
    gc.collect()
    assert not gpu.alive


@pytest.mark.parametrize(
    ("call", "run"),
    [
        ("cudaMemcpyAsync", 1),
        ("cudaStreamSynchronize", 1),
        ("cudaStreamBeginCapture", 1),
        ("cudaStreamEndCapture", 1),
        ("cudaGraphInstantiate", 1),
        ("cudaGraphLaunch", 2),
        ("cudaStreamSynchronize", 2),
    ],
)
def test_what_cuda_refuses_in_a_run_is_one_sentence_and_frees_all(built, gpu, call, run):
    model = Model.load(built)
    for _ in range(run - 1):
        model.run(batch(2))
    gpu.failing = {call: "cudaErrorIllegalAddress"}
    with pytest.raises(BackendError, match=f"CUDA failed in {call} with cudaErrorIllegalAddress: check the card"):
        model.run(batch(2))
    gpu.failing = {}
    assert gpu.capturing is None
    del model
    gc.collect()
    assert not gpu.alive


def test_a_capture_that_fails_is_ended(built, gpu, monkeypatch):
    """Or the stream could neither be used nor freed again."""
    model = Model.load(built)
    context = gpu.tensorrt.IExecutionContext
    execute = context.execute_async_v3
    monkeypatch.setattr(context, "execute_async_v3", lambda *given: execute(*given) and gpu.capturing is None)
    with pytest.raises(BackendError, match=r"TensorRT 10\.9\.0\.34 failed in execute_async_v3"):
        model.run(batch(2))
    assert gpu.capturing is None
    assert not [kind for kind, _ in gpu.alive.values() if kind in ("graph", "ready")]


def test_values_that_are_not_finite_are_refused(built, gpu):
    model = Model.load(built)
    gpu.distort = np.float32(np.inf)
    with pytest.raises(ModelFileError, match="NaN or infinite values in fp16 on tensorrt"):
        model.run(batch(2))


# Choosing


def test_an_engine_is_for_tensorrt_alone_and_tensorrt_for_engines(built, onnx):
    assert Model.load(built, backend="tensorrt").info.backend == "tensorrt"
    for name in ("cuda", "openvino", "onnxruntime"):
        with pytest.raises(BackendError, match=f"is a TensorRT engine, which backend '{name}' cannot run"):
            Model.load(built, backend=name)
    with pytest.raises(BackendError, match=f"radiodino-export engine {onnx}"):
        Model.load(onnx, backend="tensorrt")
    with pytest.raises(InputError, match="tensorrt"):
        Model.load(built, backend="tpu")


def test_the_arithmetic_is_fixed_in_the_engine(built):
    assert Model.load(built, compute="fp16").info.compute == "fp16"
    with pytest.raises(BackendError, match="built to compute in fp16, which is fixed"):
        Model.load(built, compute="fp32")


@pytest.mark.parametrize("changed", [{"tensorrt": "11.0"}, {"device": "B"}, {"capability": "8.0"}, {"driver": "1"}])
def test_elsewhere_it_is_refused_and_the_command_in_the_message_cures_it(built, gpu, monkeypatch, command, changed):
    other = type(gpu)(monkeypatch, **changed)
    with pytest.raises(ModelFileError, match="was built elsewhere") as refused:
        Model.load(built)
    assert not other.order("cudaMalloc", "Runtime.__init__")
    program, *arguments = shlex.split(str(refused.value).split("build it anew with  ")[1])
    assert program == "radiodino-export"
    assert command(main, *arguments).status == 0
    assert Model.load(built).info.engine.profile == engine_info(read_model_file(built)).profile
    assert Model.load(built).run(batch(3))["embedding"].shape == (3, 48)


def test_a_new_onnx_file_makes_its_engine_stale(built, onnx, toy_fp32):
    onnx.write_bytes(toy_fp32.read_bytes())
    with pytest.raises(ModelFileError, match=r"toy\.onnx beside it had the SHA-256"):
        Model.load(built)
    onnx.unlink()
    assert Model.load(built).info.backend == "tensorrt"


def test_the_command_line_runs_an_engine(built, onnx, command, images):
    images[0].save("image.png")
    ended = command(run_main, "embed", "image.png", "--model", built, "-o", "out.csv")
    assert ended.status == 0
    assert "computing in fp16 on tensorrt 10.9.0.34" in ended.err
    told = json.loads((built.parent / "out.csv.info.json").read_text())
    assert read_model_file(onnx).sha256 in json.dumps(told)
    command(run_main, "embed", "image.png", "--model", onnx, "-o", "cpu.csv")
    found, wanted = (
        np.loadtxt(name, delimiter=",", skiprows=1, usecols=range(2, 50)) for name in ("out.csv", "cpu.csv")
    )
    assert np.abs(found - wanted).max() < 0.01 * np.abs(wanted).max()


def test_what_is_missing_is_named(built, gpu, monkeypatch):
    assert backend.status().arithmetic.supported == ("fp32", "fp16")
    for module, name in (("cuda.bindings", "cuda-python"), ("tensorrt", "tensorrt")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=rf"{name} is not installed.*tensorrt\]"):
            Model.load(built)
        assert name in backend.status().problem


def test_without_a_card_the_drivers_problem_is_said(built, gpu):
    gpu.found = type(gpu.found)("570.1", "12.8", (), "the NVIDIA driver finds no GPU: check nvidia-smi")
    with pytest.raises(BackendError, match="TensorRT needs an NVIDIA card: the NVIDIA driver finds no GPU"):
        Model.load(built)


def test_an_engine_that_tensorrt_cannot_open_is_named(built, gpu):
    from radiodino.runtime.model_file import seal_engine

    file = read_model_file(built)
    built.write_bytes(seal_engine(b"of an older TensorRT", file.engine, file.document))
    with pytest.raises(ModelFileError, match=r"cannot open .*: Error Code 1: Serialization \(magic tag"):
        Model.load(built)
    gc.collect()
    assert not gpu.alive


def test_a_real_card_gives_the_answers_of_the_onnx_file(onnx, command):
    """On a machine with an NVIDIA card, its driver, TensorRT and cuda-python."""
    if not backend.status().arithmetic:
        pytest.skip(f"no TensorRT here: {backend.status().problem}")
    assert command(main, "engine", onnx, "--batch", "1,2,8").status == 0
    model = Model.load(onnx.with_suffix(".engine"))
    for count in (1, 2, 8, 11, 2, 1):
        images = batch(count, count)
        found, wanted = model.run(images)["embedding"], on_cpu(onnx, images)["embedding"]
        cosine = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosine.min() > 0.999
