from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from radiodino.runtime import BackendError, InputError, Model, machine
from radiodino.runtime.backends import BACKENDS, cuda, onnxruntime, openvino, select, statuses
from radiodino.runtime.backends.compiled_cache import load_compiled
from radiodino.runtime.backends.protocol import Job, Status
from radiodino.runtime.compute import Arithmetic
from radiodino.runtime.machine import has_hardware_bf16, this_machine, usable_cores
from radiodino.runtime.pixels import to_8bit

CPU = ("openvino", "onnxruntime")


def usable(name):
    status = BACKENDS[name].status()
    if not status.arithmetic:
        pytest.skip(status.problem)
    return status


@pytest.mark.parametrize("name", CPU)
def test_an_fp32_file_computes_in_fp32(name, toy_fp32):
    usable(name)
    model = Model.load(toy_fp32, backend=name)
    assert (model.backend.name, model.backend.compute) == (name, "fp32")


def test_openvino_follows_the_file_and_the_hardware(toy_fp16):
    usable("openvino")
    expected = "bf16" if has_hardware_bf16() else "fp32"
    assert Model.load(toy_fp16, backend="openvino").info.compute == expected


def test_onnxruntime_computes_an_fp16_file_in_fp32(toy_fp16):
    usable("onnxruntime")
    assert Model.load(toy_fp16, backend="onnxruntime").info.compute == "fp32"


@pytest.mark.parametrize("name", CPU)
@pytest.mark.parametrize("compute", ["fp32", "bf16", "fp16"])
def test_asked_arithmetic_is_active_or_an_error(name, compute, toy_fp16):
    status = usable(name)
    if compute in status.arithmetic.supported:
        assert Model.load(toy_fp16, backend=name, compute=compute).backend.compute == compute
    else:
        with pytest.raises(BackendError, match="does not compute in"):
            Model.load(toy_fp16, backend=name, compute=compute)


def test_arithmetics_really_differ(toy_fp16, images):
    """An fp32 run of an fp16 file is not a bf16 run under another name: its error is far smaller."""
    status = usable("openvino")
    if "bf16" not in status.arithmetic.supported:
        pytest.skip("no bf16 on this machine")
    exact = Model.load(toy_fp16, backend="openvino", compute="fp32").embed(images)
    rounded = Model.load(toy_fp16, backend="openvino", compute="bf16").embed(images)
    other_engine = Model.load(toy_fp16, backend="onnxruntime", compute="fp32").embed(images)
    assert np.abs(exact - other_engine).max() < 0.05 * np.abs(exact - rounded).max()


def test_both_engines_agree(toy_fp32, images):
    usable("openvino"), usable("onnxruntime")
    a, b = (Model.load(toy_fp32, backend=name).embed(images) for name in CPU)
    assert np.abs(a - b).max() < 1e-4 * np.abs(a).max()


@pytest.mark.parametrize("name", CPU)
def test_runs_repeat_bit_for_bit(name, toy_fp32, images):
    usable(name)
    model = Model.load(toy_fp32, backend=name)
    assert np.array_equal(model.embed(images), model.embed(images))


@pytest.mark.parametrize("name", CPU)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_inferences_side_by_side_are_those_of_one_after_the_other(name, toy_fp32, images, batch_size):
    usable(name)
    model = Model.load(toy_fp32, backend=name, threads=2, parallel=2, batch_size=batch_size)
    assert model.parallel == 2
    batch = np.stack([model.preprocess(to_8bit(image)) for image in images[:3]])
    batches = [batch + np.float32(number / 8) for number in range(8)]
    expected = [model.run(one)["embedding"] for one in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(model.run, batches), expected, strict=True):
            assert np.array_equal(found["embedding"], wanted)


FIRST_RUNS = """
import sys
from threading import Barrier, Thread
import numpy as np
from PIL import Image
from radiodino.runtime import Model
sys.setswitchinterval(1e-6)
model = Model.load(sys.argv[1], backend=sys.argv[2], threads=2, parallel=2)
batch, ready = model.preprocess(Image.new("L", (8, 8)))[np.newaxis], Barrier(2)
def first():
    ready.wait()
    model.run(batch)
threads = [Thread(target=first) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("name", CPU)
def test_first_inferences_at_the_same_time_come_to_an_end(name, toy_fp32):
    """OpenVINO's own tables, made within the first inference, hung every other process of this kind."""
    usable(name)
    for _ in range(5):
        subprocess.run([sys.executable, "-c", FIRST_RUNS, str(toy_fp32), name], check=True, timeout=60)


@pytest.mark.parametrize("name", CPU)
def test_no_more_inferences_than_threads(name, toy_fp32):
    usable(name)
    assert Model.load(toy_fp32, backend=name, threads=1, parallel=2).parallel == 1
    assert Model.load(toy_fp32, backend=name, threads=4, parallel=2).parallel == 2
    assert Model.load(toy_fp32, backend=name).parallel == 1
    with pytest.raises(InputError, match="parallel must be at least 1, not 0"):
        Model.load(toy_fp32, backend=name, parallel=0)


@pytest.mark.parametrize("name", CPU)
def test_threads_are_as_asked(name, toy_fp32):
    usable(name)
    assert Model.load(toy_fp32, backend=name, threads=1).backend.threads == 1
    assert Model.load(toy_fp32, backend=name).backend.threads == usable_cores()


def test_an_unknown_backend_lists_the_known(toy_fp32):
    with pytest.raises(InputError, match="auto, cuda, openvino, onnxruntime"):
        Model.load(toy_fp32, backend="tpu")


def test_cuda_asked_for_and_not_active_is_an_error(toy_fp32):
    if BACKENDS["cuda"].status().arithmetic:
        pytest.skip("this machine has onnxruntime-gpu")
    with pytest.raises(BackendError, match=r"radiodino\[gpu\]"):
        Model.load(toy_fp32, backend="cuda")


def test_a_session_that_fell_back_to_the_cpu_is_an_error(toy_fp32, monkeypatch):
    """onnxruntime-gpu installed without a working driver: the session opens, on the CPU. That is refused."""
    usable("onnxruntime")
    monkeypatch.setattr(onnxruntime, "_installed", lambda: {"onnxruntime-gpu": "1.0"})
    with pytest.raises(BackendError, match="CUDAExecutionProvider was asked for and CPUExecutionProvider is active"):
        Model.load(toy_fp32, backend="cuda")
    auto = Model.load(toy_fp32, backend="auto")
    assert auto.backend.name in CPU  # `auto` takes CUDA only where it is really active


def test_both_distributions_of_onnxruntime_are_an_error(toy_fp32, monkeypatch):
    monkeypatch.setattr(onnxruntime, "_installed", lambda: {"onnxruntime": "1.0", "onnxruntime-gpu": "1.0"})
    for backend in ("auto", "onnxruntime", "cuda"):
        with pytest.raises(BackendError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
            Model.load(toy_fp32, backend=backend)
    if openvino.status().arithmetic:
        assert Model.load(toy_fp32, backend="openvino").backend.name == "openvino"


def nothing(name):
    return Status(name, None, None, f"{name} is not installed: cure {name}")


def test_no_backend_at_all_names_every_cure(toy_fp32, monkeypatch):
    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, BACKENDS[name]._replace(status=lambda name=name: nothing(name)))
    with pytest.raises(BackendError, match=r"cure cuda.*cure openvino.*cure onnxruntime"):
        Model.load(toy_fp32)
    assert select.auto_choice(statuses())[0] is None


def test_auto_passes_over_what_lacks_the_asked_arithmetic(toy_fp16, monkeypatch):
    usable("onnxruntime")
    without_fp16 = Status("openvino", "1", Arithmetic(("fp32",), "fp32"))
    monkeypatch.setitem(BACKENDS, "openvino", BACKENDS["openvino"]._replace(status=lambda: without_fp16))
    assert Model.load(toy_fp16, compute="fp16").backend.name == "onnxruntime"


@pytest.mark.parametrize(
    ("flags", "precision", "taken"),
    [
        (("avx2",), "int8", "onnxruntime"),
        (("avx2",), "fp16", "openvino"),
        (("avx2", "avx_vnni"), "int8", "openvino"),
        (("avx2", "avx512f"), "int8", "onnxruntime"),
        ((), "int8", "openvino"),
    ],
)
def test_auto_takes_for_int8_what_is_faster_without_vnni(monkeypatch, flags, precision, taken):
    here = replace(this_machine(), instruction_sets=flags)
    monkeypatch.setattr(machine, "this_machine", lambda: here)
    tried = [name for entry in select._in_order(precision) for name in BACKENDS if BACKENDS[name] is entry]
    assert next(name for name in tried if name in CPU) == taken


def test_statuses_come_in_the_order_of_auto():
    assert [status.name for status in statuses()] == ["cuda", "openvino", "onnxruntime", "ort-tensorrt"]


def test_auto_says_what_it_passes_over(monkeypatch, toy_fp32):
    """CUDA installed and not working: the doctor's answer is what loading does."""
    usable("onnxruntime")
    monkeypatch.setattr(onnxruntime, "_installed", lambda: {"onnxruntime-gpu": "1.0"})
    taken, passed_over = select.auto_choice(statuses())
    assert taken == Model.load(toy_fp32).backend.name
    assert len(passed_over) == 1
    assert "cuda: CUDAExecutionProvider was asked for and CPUExecutionProvider is active" in passed_over[0]


def test_the_graph_that_probes_cuda_runs(tmp_path):
    usable("onnxruntime")
    path = tmp_path / "identity.onnx"
    path.write_bytes(cuda.identity())
    job = Job(path, precision="fp32", cache_key=None, compute=None, threads=1)
    assert onnxruntime.OnnxRuntimeBackend(job).run(np.ones(1, np.float32)) == {"y": np.ones(1, np.float32)}


def test_compiled_models_are_cached_by_content(toy_fp32, toy_fp16, tmp_path, monkeypatch, images):
    """Two files of one path and size, one after the other, never share a compiled model."""
    usable("openvino")
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path))
    path = tmp_path / "model.onnx"
    for source in (toy_fp32, toy_fp16):
        path.write_bytes(source.read_bytes())
        os.utime(path, (1e9, 1e9))
        expected = Model.load(source, backend="openvino", compute="fp32", cache=False).embed(images)
        for _ in range(2):  # compiled, then from the cache
            found = Model.load(path, backend="openvino", compute="fp32").embed(images)
            assert np.array_equal(found, expected)
    assert len(list((tmp_path / "openvino").iterdir())) == 4  # of each file one for one image and one for any number


def test_arithmetics_never_share_a_compiled_model(toy_fp16, tmp_path, monkeypatch, images):
    supported = usable("openvino").arithmetic.supported
    expected = {
        compute: Model.load(toy_fp16, backend="openvino", compute=compute, cache=False).embed(images)
        for compute in supported
    }
    for index, (first, second) in enumerate(itertools.permutations(supported, 2)):
        monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / str(index)))
        for compute in (first, second, first, second):
            model = Model.load(toy_fp16, backend="openvino", compute=compute)
            assert model.info.compute == compute
            assert np.array_equal(model.embed(images), expected[compute]), (first, second, compute)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied"])
def test_a_damaged_compiled_model_is_not_used(toy_fp32, tmp_path, monkeypatch, images, damage):
    usable("openvino")
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path))
    expected = Model.load(toy_fp32, backend="openvino").embed(images)
    every = sorted((tmp_path / "openvino").iterdir())
    assert len(every) == 2  # for one image, for any number
    for kept in every:
        data = bytearray(kept.read_bytes())
        data[len(data) // 2] ^= 1
        kept.write_bytes({"flipped": bytes(data), "truncated": bytes(data[:1000]), "emptied": b""}[damage])
        assert load_compiled(kept) is None
    assert np.array_equal(Model.load(toy_fp32, backend="openvino").embed(images), expected)
    assert all(load_compiled(kept) for kept in every)  # compiled anew


def test_one_image_and_many_are_compiled_when_they_come(toy_fp32, tmp_path, monkeypatch, images):
    usable("openvino")

    def compiled():
        return sorted(path.name.split("-")[2] for path in (tmp_path / "openvino").iterdir())

    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path))
    model = Model.load(toy_fp32, backend="openvino")
    alone = np.concatenate([model.embed(image) for image in images])
    assert compiled() == ["1"]
    together = model.embed(images)
    assert compiled() == ["1", "any"]
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
    assert np.array_equal(model.embed(images[0])[0], alone[0])
    assert model.backend.input_shape[0] == model.backend.output_shapes["embedding"][0] == -1

    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "second"))
    many = Model.load(toy_fp32, backend="openvino", batch_size=8)
    np.testing.assert_allclose(many.embed(images[0])[0], together[0], rtol=1e-4, atol=1e-5)
    assert [path.name.split("-")[2] for path in (tmp_path / "second" / "openvino").iterdir()] == ["any"]


def test_a_batch_size_below_one_is_refused(toy_fp32):
    with pytest.raises(InputError, match="batch_size must be at least 1, not 0"):
        Model.load(toy_fp32, batch_size=0)


@pytest.mark.parametrize("bf16_residual", [True, False])
def test_the_residual_stream_is_bf16_only_where_the_file_says_so(toy_fp16, bf16_residual):
    if "bf16" not in usable("openvino").arithmetic.supported:
        pytest.skip("this CPU has no bf16")
    job = Job(toy_fp16, "fp16", None, "bf16", 1, one_image=True, bf16_residual=bf16_residual)
    backend = openvino.OpenVINOBackend(job)
    graph = backend._requests[1].get().get_compiled_model().get_runtime_model()
    found = {node.get_friendly_name(): node.get_rt_info() for node in graph.get_ordered_ops()}
    additions = [
        str(info["outputPrecisions"].value)
        for info in found.values()
        if "blocks.0" in str(info["originalLayersNames"].value) and str(info["layerType"].value) == "Subgraph"
    ]
    assert additions
    assert ("f32" in additions) is not bf16_residual


def test_another_tools_graph_keeps_its_batch(tmp_path):
    """A graph for two images is not made into one for one."""
    usable("openvino")
    path = tmp_path / "two.onnx"
    path.write_bytes(cuda.identity().replace(b"\x0a\x02\x08\x01", b"\x0a\x02\x08\x02"))
    job = Job(path, precision="fp32", cache_key=None, compute="fp32", threads=1, one_image=True)
    assert openvino.OpenVINOBackend(job).input_shape == (2,)


def test_cache_can_be_left_out(toy_fp32, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path))
    Model.load(toy_fp32, cache=False)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_home_only_costs_the_cache(toy_fp32, tmp_path, monkeypatch, images):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("RADIODINO_HOME", str(blocked / "home"))
    assert Model.load(toy_fp32).embed(images).shape == (5, 48)


def test_an_engine_that_cannot_be_loaded_says_so(toy_fp32, tmp_path, monkeypatch):
    """Installed, but a library of the system is missing: neither a traceback nor 'is not installed'."""
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so.12: cannot open shared object file')")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('the VC++ runtime is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in CPU:
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        with pytest.raises(BackendError, match=f"{name} is installed and cannot be loaded"):
            Model.load(toy_fp32, backend=name)


def test_this_machine_is_described():
    machine = this_machine()
    assert 1 <= machine.usable_cores <= (os.cpu_count() or 1)
    assert machine.processor


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_usable_cores_follow_the_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from radiodino.runtime.machine import usable_cores; print(usable_cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
