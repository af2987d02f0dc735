"""The command that a GPU's owner runs: its plan, its going on, its summary, all tried without a GPU."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("fvcore")
pytest.importorskip("psutil")
pytest.importorskip("onnxruntime")

from radiodino.benchmarks import gpu_evidence, gpu_pixels, gpu_steps, gpu_summary
from radiodino.benchmarks.bench.report import Report, read_report
from radiodino.benchmarks.bench.row import Quality, Row, WorkNote
from radiodino.benchmarks.bench.summary import Latency, Ratio
from radiodino.benchmarks.bench.work import Work
from radiodino.benchmarks.contest import NAMES, OFFICIAL
from radiodino.benchmarks.gpu_steps import DEVICES, Plan
from radiodino.runtime.backends import cuda
from radiodino.runtime.backends import onnxruntime as cpu
from radiodino.runtime.errors import BackendError, InputError
from radiodino.runtime.machine import this_machine
from radiodino.runtime.nvidia import nvidia
from radiodino.runtime.variants import VARIANTS

KINDS = ("machine", "bench", "pixels", "pretrain", "tests")


def plan(folder, **options):
    given = {
        "variants": ("tiny", "base"), "batches": (1, 128), "device": DEVICES["cuda"], "data": (), "rounds": 1,
        "round_seconds": 0.01, "kinds": KINDS, **options,
    }  # fmt: skip
    return Plan(folder=folder, **given)


@pytest.fixture
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


def row_of(engine, precision, *, variant="toy", batch_size=1, rate=100.0, cosine=0.99999):
    work = Work(
        variant=variant, task="embed", weights="random", image_size=64, batch_size=batch_size, threads=1
    )  # fmt: skip
    quality = Quality(
        images=2, mean_cosine=cosine, min_cosine=cosine, label=None, clear=None, same_label=None,
        dice_to_original=None, scores={}, changes={},
    )  # fmt: skip
    return Row(
        work=work, name=f"{engine} {precision}", engine=engine, version="1", precision=precision, compute=precision,
        device="cuda", maker="radiodino", is_peer=False, is_original=engine == "pytorch-cuda",
        latency=Latency(p50=1000 * batch_size / rate, p95=1.0, p99=1.0, spread=0.1), images_per_second=rate,
        ratio=Ratio(value=1.5, low=1.4, high=1.6), import_seconds=0.1, load_seconds=0.1, first_seconds=0.1,
        peak_mib=None, file_bytes=1, parameters=1, gmacs=1.0, gflops=1.0, peak_share=0.25, quality=quality,
        from_file=None, remarks=(), stable=True, warm_seconds=(), seconds=((0.01,),),
    )  # fmt: skip


def report_of(*rows):
    notes = [
        WorkNote(work=work, peaks={}, others=0.0, stolen=0.0, noise=None, left_out={"ort-tensorrt fp32": "it has none"},
                 images="2 images", file=None)
        for work in dict.fromkeys(row.work for row in rows)
    ]  # fmt: skip
    return Report(
        machine=this_machine(), isa=None, date="now", versions={}, rounds=1, works=tuple(notes), rows=rows
    )  # fmt: skip


ON_CPU = ("--device", "cpu", "--variants", "toy", "--batches", "1", "--rounds", "1", "--round-seconds", "0.01")


def test_the_plan_has_all_that_is_asked(tmp_path):
    assert [step.name for step in plan(tmp_path).steps()] == [
        "machine", "bench-tiny-1", "bench-tiny-128", "bench-base-1", "bench-base-128", "pixels-tiny", "pixels-base",
        "pretrain", "tests",
    ]  # fmt: skip
    assert [step.name for step in plan(tmp_path, kinds=("tests", "machine")).steps()] == ["machine", "tests"]
    assert not plan(tmp_path, kinds=("pixels",), device=DEVICES["cpu"]).steps()
    settings = plan(tmp_path)._bench("base", 128)
    assert settings.engines[:3] == ("pytorch-cuda", "pytorch-cuda-compile", "cuda")
    assert (settings.variants, settings.batch_sizes, settings.precisions) == (("base",), (128,), ("fp32", "fp16"))


def test_tensorrt_takes_part_where_it_is_installed(tmp_path, monkeypatch):
    from radiodino.runtime import nvidia_libraries

    for where, expected in (("system", True), (None, False)):
        library = SimpleNamespace(where=where)
        monkeypatch.setattr(nvidia_libraries, "tensorrt_library", lambda library=library: (library, None))
        engines = plan(tmp_path)._bench("tiny", 1).engines
        assert ("ort-tensorrt" in engines) is expected
        assert "tensorrt" not in engines  # its own Python interface is missing


def test_its_own_interface_takes_part_on_a_card(tmp_path, gpu):
    assert "tensorrt" in plan(tmp_path)._bench("tiny", 1).engines


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": ("magic",)}, "no kind of step 'magic'"),
        ({"variants": ()}, "--variants names nothing"),
        ({"batches": ()}, "--batches names nothing"),
        ({"batches": (1, 0)}, "--batch-size must be at least 1"),
        ({"rounds": 0}, "--rounds must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        plan(tmp_path, **options).check()


def test_without_a_gpu_one_sentence_says_so(tmp_path, refused):
    if nvidia().gpus:
        pytest.skip("this machine has an NVIDIA GPU")
    target = tmp_path / "evidence"
    assert "evidence of a GPU is measured on one" in refused(gpu_evidence.command, "-o", target)
    assert not target.exists()
    assert "no device 'tpu'" in refused(gpu_evidence.command, "-o", target, "--device", "tpu")


def test_a_gpu_that_does_not_work_is_refused(monkeypatch):
    import torch

    from radiodino.runtime import nvidia as nvidia_module

    monkeypatch.setattr(nvidia_module, "nvidia", lambda: SimpleNamespace(problem=None))
    monkeypatch.setattr(cuda, "status", lambda: SimpleNamespace(problem=None))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match="PyTorch finds no CUDA device"):
        DEVICES["cuda"].check()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "problem", lambda: "cuDNN is missing")
    with pytest.raises(BackendError, match="cuDNN is missing"):
        DEVICES["cuda"].check()


@pytest.fixture
def run(command, _toy_in_the_family):
    return lambda *arguments: command(gpu_evidence.command, *arguments)


@pytest.fixture
def measured(monkeypatch):
    """The settings that were measured; each measurement gives one row of PyTorch and one of the runtime."""
    from radiodino.benchmarks.bench import run as bench_run

    asked = []

    def run(settings, progress):
        progress("measure")
        asked.append(settings)
        options = {"variant": settings.variants[0], "batch_size": settings.batch_sizes[0]}
        return report_of(*(row_of(engine, "fp16", **options) for engine in settings.engines))

    monkeypatch.setattr(bench_run, "run", run)
    return asked


def test_the_whole_way(tmp_path, run, measured, refused):
    target = tmp_path / "evidence"
    arguments = ("-o", target, *ON_CPU, "--only", "machine,bench")
    ended = run(*arguments)
    assert (ended.status, ended.err.count("Traceback")) == (0, 0), ended.err
    assert "1 of 2: machine: done" in ended.out
    assert "2 of 2: bench-toy-1: done" in ended.out
    assert [settings.variants for settings in measured] == [("toy",)]
    assert [row.engine for row in read_report(target / "bench-toy-1.json").rows] == ["pytorch", "onnxruntime"]
    document = json.loads((target / "evidence.json").read_text())
    assert (document["device"], len(document["rows"])) == ("cpu", 2)
    assert document["machine"]["nvidia"] == json.loads((target / "machine.json").read_text())["nvidia"]
    text = (target / "evidence.md").read_text()
    assert text.startswith("# A trial on the CPU: no evidence of a GPU")
    assert "| toy, 1 | onnxruntime fp16 | fp16 | 10.000 | 100 | 1.50 | 0.999990 | 25% |" in text
    assert "- bench-toy-1: ort-tensorrt fp32 is left out: it has none" in text
    assert "Tests on the GPU: not run." in text

    assert "go on with --resume" in refused(gpu_evidence.command, *arguments)
    before = (target / "bench-toy-1.json").read_bytes()
    ended = run(*arguments, "--resume")
    assert ended.out.count("there already") == 2
    assert len(measured) == 1
    assert (target / "bench-toy-1.json").read_bytes() == before


def test_the_fastest_of_ours_is_judged_beside_the_compiled_original(tmp_path):
    asked = plan(tmp_path, variants=("toy",), batches=(1, 16, 128))
    report = report_of(
        row_of("pytorch-cuda-compile", "fp16", rate=100.0),
        row_of("cuda", "fp16", rate=150.0),
        row_of("ort-tensorrt", "fp16", rate=300.0),
        row_of("pytorch-cuda", "fp16", batch_size=128, rate=10.0),
        row_of("pytorch-cuda-compile", "fp16", batch_size=128, rate=100.0),
        row_of("cuda", "fp16", batch_size=128, rate=90.0),
        row_of("cuda", "fp32", batch_size=128, rate=400.0),
    )
    goals = gpu_summary.judged(asked, [report])
    assert [(goal.wanted, goal.found, goal.verdict) for goal in goals] == [(2.0, 3.0, "met"), (1.0, 0.9, "missed")]
    assert [goal.verdict for goal in gpu_summary.judged(asked, [])] == ["not measured"] * 2


def test_a_step_that_fails_does_not_end_the_others_and_is_tried_again(tmp_path, run, monkeypatch):
    from radiodino.benchmarks.bench import run as bench_run

    def fail(_settings, _progress):
        raise BackendError("the engine broke")

    monkeypatch.setattr(bench_run, "run", fail)
    arguments = ("-o", tmp_path, *ON_CPU, "--only", "machine,bench")
    ended = run(*arguments)
    assert ended.status == 1
    assert "bench-toy-1: the engine broke" in ended.out
    assert "not done: bench-toy-1; --resume tries them again" in ended.out
    assert (tmp_path / "evidence.md").exists()
    assert not (tmp_path / "bench-toy-1.json").exists()


def test_an_interrupted_run_says_how_to_go_on(tmp_path, run, monkeypatch):
    from radiodino.benchmarks.bench import run as bench_run

    def interrupt(_settings, _progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_run, "run", interrupt)
    ended = run("-o", tmp_path, *ON_CPU, "--only", "machine,bench")
    assert ended.status == 130
    assert "go on with --resume" in ended.err


def test_pretraining_is_asked_for_on_the_device_and_shown(tmp_path, monkeypatch):
    asked = []

    def trained(command):
        asked.append(command)
        sample = {"seconds": 2.0, "images": 64, "waited": 0.1, "peak_mib": None, "loss": 1.0}
        samples = {name: [{**sample, "seconds": 2.0 / number}] for number, name in enumerate(NAMES, 1)}
        document = {"device": "NVIDIA H200", "recipe": {"variant": "tiny"}, "samples": samples}
        with open(command[-1], "w") as stream:
            json.dump(document, stream)

    monkeypatch.setattr(gpu_steps, "_failure", trained)
    monkeypatch.setattr(gpu_steps, "_MADE_UP", 2)
    whole = plan(tmp_path, kinds=("pretrain",))
    (step,) = whole.steps()
    assert step.run(lambda _text: None) is None
    (command,) = asked
    assert command[command.index("--accelerator") + 1] == "cuda"
    assert command[command.index("--official-precision") + 1] == "16-mixed"
    assert command.count("--data") == 1
    gpu_summary.write_summary(whole)
    text = (tmp_path / "evidence.md").read_text()
    assert "Pretraining step, tiny, on NVIDIA H200:" in text
    assert f"| {OFFICIAL} | 32.0 | 1.00 |" in text

    monkeypatch.setattr(gpu_steps, "_failure", lambda command: "out of memory")
    (step,) = plan(tmp_path / "other", kinds=("pretrain",), data=("a", "b")).steps()
    assert step.run(lambda _text: None) == "out of memory"


def test_tests_are_run_where_there_are_some(tmp_path, monkeypatch):
    file = tmp_path / "tests" / "test_gpu.py"
    (step,) = plan(tmp_path, kinds=("tests",)).steps()
    monkeypatch.setattr(gpu_steps, "_TESTS", file)
    assert "in a clone of the repository alone" in step.run(lambda _text: None)
    file.parent.mkdir()
    text = "import pytest\npytestmark = pytest.mark.gpu\ndef test_one():\n    assert {}\n"
    file.write_text(text.format("False"))
    assert "pytest ended with 1" in step.run(lambda _text: None)
    assert not step.file.exists()
    file.write_text(text.format("True"))
    assert step.run(lambda _text: None) is None
    assert "1 passed" in json.loads(step.file.read_text())["passed"]


def test_floats_and_pixels_are_measured_beside_each_other(toy_fp32, monkeypatch):
    import onnxruntime

    from radiodino.runtime.backends.cuda import CudaBackend

    monkeypatch.setattr(gpu_pixels, "export_model", lambda settings, progress: SimpleNamespace(path=toy_fp32))
    with pytest.raises(BackendError, match="does not normalise pixels itself"):
        gpu_pixels.floats_and_pixels("tiny", 3, "onnxruntime", 1)
    monkeypatch.setattr(cpu, "_installed", lambda: {"onnxruntime-gpu": onnxruntime.__version__})
    monkeypatch.setitem(cuda._KINDS, "cuda", cuda._Kind("CPUExecutionProvider", "cpu", False))
    monkeypatch.setattr(CudaBackend, "_cuda", lambda self, captures: ["CPUExecutionProvider"])
    found = gpu_pixels.floats_and_pixels("tiny", 3, "cuda", 1)
    assert found["same_bits"] is True
    assert found["bytes"] == {"floats": 3 * 3 * 64 * 64 * 4, "pixels": 3 * 3 * 64 * 64}
    assert np.isfinite(list(found["milliseconds"].values())).all()
