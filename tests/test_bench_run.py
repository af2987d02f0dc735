"""A whole run of radiodino-bench on the toy, and what its parts promise."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("fvcore")
pytest.importorskip("psutil")
pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from radiodino.benchmarks import cli  # noqa: E402
from radiodino.benchmarks.bench import isa, lineup, matrix_peak, openers, run, worker  # noqa: E402
from radiodino.benchmarks.bench.contender import OURS, Contender  # noqa: E402
from radiodino.benchmarks.bench.gmacs import multiply_adds, parameters  # noqa: E402
from radiodino.benchmarks.bench.lineup import CUDA_ORIGINAL, ENGINES, Entry  # noqa: E402
from radiodino.benchmarks.bench.openers import open_runner  # noqa: E402
from radiodino.benchmarks.bench.opening import FileRun, Opening  # noqa: E402
from radiodino.benchmarks.bench.original_network import OriginalNetwork  # noqa: E402
from radiodino.benchmarks.bench.page.compose import write_page  # noqa: E402
from radiodino.benchmarks.bench.report import read_report  # noqa: E402
from radiodino.benchmarks.bench.rounds import Contest, Pace  # noqa: E402
from radiodino.benchmarks.bench.row import WorkNote  # noqa: E402
from radiodino.benchmarks.bench.run import from_file  # noqa: E402
from radiodino.benchmarks.bench.settings import BenchSettings, listed  # noqa: E402
from radiodino.benchmarks.bench.subject import load_subject  # noqa: E402
from radiodino.benchmarks.bench.summary import latency, ratio  # noqa: E402
from radiodino.benchmarks.bench.timing import timed_runs, warm_up  # noqa: E402
from radiodino.benchmarks.bench.worker_process import MeasurementError, WorkerProcess, save_batch  # noqa: E402
from radiodino.export.verify import cosines, reference_outputs  # noqa: E402
from radiodino.runtime.errors import BackendError, InputError  # noqa: E402
from radiodino.runtime.variants import VARIANTS, get_variant  # noqa: E402
from radiodino.train.segment.macs import backbone_macs  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once", "_toy_in_the_family")


@pytest.fixture
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture(autouse=True)
def _small_products(monkeypatch):
    monkeypatch.setattr(matrix_peak, "SIDE", 64)


@pytest.fixture
def _few_products(monkeypatch):
    """Those of one engine: each is a process, which a whole run waits for."""
    monkeypatch.setattr(matrix_peak, "_CPU", tuple(one for one in matrix_peak._CPU if one[0] == "onnxruntime"))


@pytest.fixture
def subject(toy, tmp_path):
    return load_subject(toy, "embed", ("random",), 64, "lite", tmp_path)


@pytest.fixture
def both_heads(toy, tmp_path):
    return load_subject(toy, "classify+segment", ("random",), 64, "lite", tmp_path)


def small_batch(folder, images=1):
    batch = np.random.default_rng(0).standard_normal((images, 3, 64, 64)).astype(np.float32)
    return save_batch(folder / "batch.npy", batch)


def of_runtime(file, engine="onnxruntime"):
    return Contender(engine=engine, precision="fp32", maker=OURS, opener="runtime", file=file)


@pytest.mark.usefixtures("_few_products")
def test_one_command_measures_engines_beside_the_original(toy, command, tmp_path):
    ended = command(
        cli.main, "--variant", "toy", "--image-size", 64, "--engines", "onnxruntime", "--precisions",
        "fp32,int8", "--threads", 1, "--batch-size", 2, "--quick", "--weights", "random",
        "-o", tmp_path / "out.json", "--markdown", tmp_path / "out.md",
        "--html", tmp_path / "out.html",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    report = read_report(tmp_path / "out.json")
    write_page([report], tmp_path / "again.html")
    assert (tmp_path / "out.html").read_bytes() == (tmp_path / "again.html").read_bytes()
    assert [row.name for row in report.rows] == ["pytorch fp32", "onnxruntime fp32", "onnxruntime int8"]
    first, *others = report.rows
    assert first.is_original
    assert first.ratio.value == first.ratio.low == first.ratio.high == 1
    assert first.quality.min_cosine == pytest.approx(1, abs=1e-6)
    assert first.peak_share > 0
    for row in report.rows:
        assert len(row.seconds) == 3
        assert all(seconds > 0 for one in row.seconds for seconds in one)
        assert row.images_per_second == pytest.approx(2000 / row.latency.p50)
        assert row.gmacs == pytest.approx((backbone_macs(toy, 64) + norms(toy, 64)) / 1e9)
        assert row.quality.mean_cosine > 0.99
        assert row.name in (tmp_path / "out.md").read_text()
        assert row.name in ended.out
    for row in others:
        assert row.ratio.low <= row.ratio.value <= row.ratio.high
        medians = [np.median(one) for one in row.seconds]
        originals = [np.median(one) for one in first.seconds]
        assert row.ratio.value == pytest.approx(np.median(np.divide(originals, medians)))
        assert row.file_bytes > 10_000
    int8 = report.rows[-1]
    assert int8.remarks == ("quantised without the gate on 16 made-up images: the weights are random",)
    assert int8.file_bytes < report.rows[1].file_bytes  # most of so small a file is its graph
    assert "quantised without the gate" in ended.out
    assert {name.split()[1] for name in report.works[0].peaks} >= {"fp32", "int8"}
    if sys.platform == "linux":
        assert all(row.peak_mib > 20 for row in report.rows)


def test_a_sweep_measures_each_size_once_and_each_batch_at_224(toy, monkeypatch):
    measured = []

    def recorded(_bench, work, contenders, _judges, left_out):
        measured.append((work.image_size, work.batch_size))
        assert [one.name for one in contenders] == ["pytorch fp32"]
        nothing = {"peaks": {}, "others": 0.0, "stolen": 0.0, "noise": None, "images": "", "file": None}
        return WorkNote(work=work, left_out=left_out, **nothing), []

    monkeypatch.setattr(run._SubjectBench, "_measured", recorded)
    settings = BenchSettings(
        variants=("toy",), weights=("random",), engines=("pytorch",), precisions=("fp32",), sweep=True,
        image_sizes=(64, 224), batch_sizes=(1, 4, 16),
    )  # fmt: skip
    report = run.run(settings)
    assert measured == [(64, 1), (224, 1), (224, 4), (224, 16)]
    assert [(note.work.image_size, note.work.batch_size) for note in report.works] == measured


def test_peers_take_part_and_a_peer_that_fails_is_named(toy, subject, tmp_path, monkeypatch):
    from radiodino.benchmarks.bench import peers
    from radiodino.benchmarks.bench.peer_materials import Materials
    from radiodino.benchmarks.bench.peers import Peer, made_peers

    def fails(_materials):
        raise RuntimeError("\n no such operator \nand more")

    kept = tuple(peer for peer in peers.PEERS if peer.name in (peers.ORT_DYNAMIC, peers.CONVERT_MODEL))
    broken = Peer("broken", (), fails), Peer("absent", ("no_such_module",), fails, "pip install it")
    monkeypatch.setattr(peers, "PEERS", (*kept, *broken))
    images = [np.zeros((1, 3, 64, 64), np.float32)]
    found, missing = made_peers(Materials(subject, 1, images, "one black image", tmp_path, True), lambda _step: None)
    assert [one.name for one in found] == [
        "onnxruntime int8 (ORT dynamic)", "openvino fp32 (convert_model)", "openvino bf16 (convert_model)",
    ]  # fmt: skip
    assert all(one.is_peer for one in found)
    assert missing["broken"] == "it failed: RuntimeError: no such operator"
    assert missing["absent"] == "no_such_module is not installed: run  pip install it"
    images = np.load(small_batch(tmp_path, 3))
    with Contest(found[:2], 1, small_batch(tmp_path), {}) as contest:
        measured = contest.measure(Pace(rounds=2, seconds=0, fewest=1, warm_seconds=0))
        batch = save_batch(tmp_path / "judged.npy", images)
        answers = [contest.worker(one).answer(batch, tmp_path)["embedding"] for one in contest.contenders]
    with torch.inference_mode():
        (wanted,) = subject.network(torch.from_numpy(images))
    assert cosines(answers[0], wanted.numpy()).min() > 0.99
    assert answers[1] == pytest.approx(wanted.numpy(), abs=1e-3)
    assert [len(one.rounds) for one in measured.values()] == [2, 2]


def test_a_peer_that_breaks_while_it_runs_is_left_out(toy_fp32, tmp_path):
    peer = replace(of_runtime(tmp_path / "absent.onnx"), maker="peer")
    batch, pace = small_batch(tmp_path), Pace(rounds=1, seconds=0, fewest=1, warm_seconds=0)
    with Contest([of_runtime(toy_fp32), peer], 1, batch, {}) as contest:
        assert list(contest.measure(pace)) == [of_runtime(toy_fp32)]
        assert "there is no file" in contest.failed[peer]
    with Contest([replace(peer, maker=OURS)], 1, batch, {}) as contest, pytest.raises(MeasurementError):
        contest.measure(pace)


def test_matrix_products_are_what_is_said(tmp_path):
    every = matrix_peak.products(["fp32", "bf16", "int8"], ["cpu"], tmp_path, 32)
    assert [(one.engine, one.precision) for one in every] == [
        ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("onnxruntime", "int8"),
        ("openvino", "int8"),
    ]  # fmt: skip
    limited = matrix_peak.products(["fp32", "int8"], ["cpu"], tmp_path, 32, limited=True)
    assert {one.engine for one in limited} == {"openvino"}
    for one in every:
        if one.precision == "bf16":
            continue
        opening = Opening(
            opener=one.opener, file=str(one.file), engine=one.engine, compute=one.compute, device="cpu", threads=1,
            outputs=one.outputs, batch=str(one.batch),
        )  # fmt: skip
        runner = open_runner(opening, 1)
        batch = np.load(one.batch)
        (weight,) = [numpy_helper.to_array(tensor) for tensor in onnx.load(one.file).graph.initializer if tensor.dims]
        left, right = batch.astype(np.float64), weight.astype(np.float64)
        if one.precision == "int8":
            left = 0.01 * (batch.astype(int) - 128) if batch.dtype == np.uint8 else (left / 0.01).round() * 0.01
            right = 0.01 * right
        assert runner.run(batch)["product"] == pytest.approx(left @ right, abs=2e-2), one.name


def test_the_original_is_what_an_export_is_verified_against(both_heads):
    batch = np.random.default_rng(1).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        found = both_heads.network(torch.from_numpy(batch))
    assert both_heads.outputs == ("embedding", "logits", "probabilities", "mask")
    (wanted,) = reference_outputs(both_heads.original, both_heads.outputs, [batch])
    for name, value in zip(both_heads.outputs, found, strict=True):
        assert value.numpy() == pytest.approx(wanted[name], abs=1e-5), name


def norms(variant, size):
    """5 for each value of two norms in each block and of the last one."""
    return 5 * (2 * variant.depth + 1) * (variant.grid(size) ** 2 + 1) * variant.embedding_size


@pytest.mark.parametrize(("name", "size"), [("toy", 64), ("toy", 224), ("tiny", 224), ("tiny", 448)])
def test_multiply_adds_are_those_counted_by_hand(name, size, tmp_path):
    found = load_subject(get_variant(name), "embed", ("random",), size, "lite", tmp_path)
    assert found.macs == backbone_macs(get_variant(name), size) + norms(get_variant(name), size)
    assert all(block.attn.fused_attn for block in found.network.backbone.blocks)  # as it was


def test_multiply_adds_of_heads_and_parameters(both_heads, toy):
    head = both_heads.original.segmenter.head
    classes = 3 * 48
    by_hand = backbone_macs(toy, 64) + norms(toy, 64) + head.macs(64) + classes
    assert by_hand <= both_heads.macs <= 1.05 * by_hand  # batch norm and interpolation are not in it
    assert both_heads.macs == multiply_adds(OriginalNetwork(both_heads.original).eval(), 64)
    assert both_heads.parameters == parameters(both_heads.network)
    assert both_heads.file_bytes >= 4 * both_heads.parameters


@pytest.mark.usefixtures("_few_products")
def test_a_work_of_a_classifier_and_a_segmenter_with_truth(command, tmp_path, png, pack):
    from PIL import Image

    random = np.random.default_rng(0)

    def image(shade):
        stream = io.BytesIO()
        Image.fromarray(random.integers(shade, shade + 60, (64, 64), np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    members = {f"{label}/{n}.png": image(40 * place) for place, label in enumerate("abc") for n in range(10)}
    pack(tmp_path / "set.zip", members)
    ended = command(
        cli.main, "--variant", "toy", "--task", "classify", "--weights", "random", "--image-size", 64, "--engines",
        "openvino", "--precisions", "fp16", "--threads", 1, "--rounds", 1, "--round-seconds", 0, "--data",
        tmp_path / "set.zip", "--end-to-end", "-o", tmp_path / "out.json",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    for row in read_report(tmp_path / "out.json").rows:
        assert row.quality.label == "class"
        assert row.quality.images == 6  # a fifth of thirty
        assert set(row.quality.scores) == {"accuracy", "f1", "auc"}
        assert row.quality.changes == dict.fromkeys(row.quality.scores, 0)
        assert row.quality.same_label in (1.0, None)
        assert row.from_file.decode + row.from_file.resize + row.from_file.inference == pytest.approx(1, abs=0.2)
    assert "a grey JPEG of 1024 × 1024, made up" in ended.out
    assert "accuracy (%)" in ended.out


def test_nearest_labels_of_an_embedder(toy_fp32, tmp_path, pack):
    from PIL import Image

    from radiodino.benchmarks.bench.judge import judged
    from radiodino.benchmarks.bench.judge_images import neighbours_set
    from radiodino.export.int8.calibration_set import read_calibration
    from radiodino.runtime.model_info import Preprocessing
    from radiodino.runtime.preprocessing import Preprocessor

    random = np.random.default_rng(0)
    members = {}
    for label, shade in (("dark", 0), ("bright", 190)):
        for number in range(8):
            stream = io.BytesIO()
            Image.fromarray(random.integers(shade, shade + 60, (64, 64), np.uint8)).save(stream, "PNG")
            members[f"{label}/{number}.png"] = stream.getvalue()
    pack(tmp_path / "set.zip", members)
    images = read_calibration([str(tmp_path / "set.zip")], Preprocessor(Preprocessing(resize=(64, 64))), count=8)
    judges = neighbours_set(images, 64, 6)
    assert (judges.gallery, len(judges.samples[0])) == (6, 12)
    first = of_runtime(toy_fp32)
    with Contest([first], 1, small_batch(tmp_path), {}) as contest:
        contest.measure(Pace(rounds=1, seconds=0, fewest=1, warm_seconds=0))
        found = judged(contest, [first], judges, None, 64, tmp_path, lambda _step: None)[first]
    assert found.label == "nearest label"
    assert found.images == 6
    assert found.scores == {"accuracy": 1.0, "f1": 1.0}
    assert found.changes == {"accuracy": 0.0, "f1": 0.0}


def test_each_contender_is_a_process_with_its_own_environment(subject, toy_fp32, tmp_path):
    batch = small_batch(tmp_path)
    good = WorkerProcess(of_runtime(toy_fp32), 1, batch, isa.LIMITS["avx2"].environment())
    try:
        opened = good.opened()
        assert opened.compute == "fp32"
        assert opened.load_seconds > 0
        assert good.round(0, 4).seconds[3] > 0
        told = Path(f"/proc/{good._process.pid}/environ")
        environment = told.read_text() if sys.platform == "linux" else ""
        for entry in ("ONEDNN_MAX_CPU_ISA=AVX2", "ATEN_CPU_CAPABILITY=avx2", "MKL_ENABLE_INSTRUCTIONS=AVX2"):
            assert sys.platform != "linux" or entry in environment.split("\0")
        assert good._process.pid != os.getpid()
    finally:
        good.close()
    absent = WorkerProcess(of_runtime(tmp_path / "absent.onnx"), 1, batch, {})
    try:
        with pytest.raises(
            MeasurementError, match=r"'onnxruntime fp32' ended with status 1: there is no file .*absent"
        ):
            absent.opened()
        with pytest.raises(MeasurementError, match="ended with status 1"):  # again, of a pipe that is broken by now
            absent.warm(0)
    finally:
        absent.close()


def test_questions_and_answers(toy_fp32, tmp_path):
    batch = small_batch(tmp_path, 2)
    opening = Opening(
        opener="runtime", file=str(toy_fp32), engine="onnxruntime", compute=None, device="cpu", threads=1, outputs=(),
        batch=str(batch),
    )  # fmt: skip
    assert Opening.from_json(opening.to_json()) == opening
    images = np.random.default_rng(2).standard_normal((3, 3, 64, 64)).astype(np.float32)
    asked = [
        {"do": "warm", "seconds": 0},
        {"do": "round", "seconds": 0, "fewest": 2},
        {"do": "answer", "images": str(save_batch(tmp_path / "i.npy", images)), "outputs": str(tmp_path / "o.npz")},
    ]
    answers = io.StringIO()
    worker.serve(opening, io.StringIO("".join(json.dumps(one) + "\n" for one in asked)), answers)
    opened, warm, measured, answered = (json.loads(line) for line in answers.getvalue().splitlines())
    assert opened["compute"] == "fp32"
    assert warm == {"seconds": [], "stable": False}
    assert len(measured["seconds"]) == 2
    assert answered == {}
    from radiodino.runtime import Model

    wanted = Model.load(toy_fp32, backend="onnxruntime", threads=1).run(images)["embedding"]
    assert np.load(tmp_path / "o.npz")["embedding"] == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(InputError, match="there is no opener 'x': choose runtime"):
        worker.serve(replace(opening, opener="x"), io.StringIO(), io.StringIO())


def test_from_a_file_to_the_answer(toy_fp32, tmp_path):
    from PIL import Image

    from radiodino.runtime import Model

    shades = np.random.default_rng(0).integers(0, 256, (300, 200), np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(shades).save(path)
    opening = Opening(
        opener="runtime", file=str(toy_fp32), engine="onnxruntime", compute=None, device="cpu", threads=1, outputs=(),
        batch=str(small_batch(tmp_path)),
    )  # fmt: skip
    runner = open_runner(opening, 1)
    batch, _ = runner.read(str(path))
    model = Model.load(toy_fp32, backend="onnxruntime", threads=1)
    assert runner.run(batch)["embedding"] == pytest.approx(model.embed(path), abs=1e-6)
    found = worker.file_run(runner, str(path))
    assert min(found.decode, found.resize, found.inference) > 0
    assert found.total == found.decode + found.resize + found.inference
    pytest.importorskip("torchvision")
    snippet, _ = openers._card(64)(str(path))
    assert np.array_equal(snippet, batch)  # the very same numbers
    with pytest.raises(InputError, match="is left to its user"):
        worker.file_run(replace(runner, read=None), str(path))


def test_parts_of_a_way_from_a_file():
    ours = [(FileRun(decode=1.0, resize=2.0, inference=1.0),)] * 3
    original = [(FileRun(decode=1.0, resize=2.0, inference=5.0),)] * 3
    found = from_file(ours, original)
    assert (found.decode, found.resize, found.inference) == (0.25, 0.5, 0.25)
    assert found.ratio.value == 2
    assert found.latency.p50 == 4000


def test_the_last_batch_is_filled_up():
    seen = []

    def run(batch):
        seen.append(len(batch))
        return {"embedding": batch[:, 0, 0]}

    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    assert worker.answers_to(run, images, 2)["embedding"].ravel().tolist() == [0, 1, 2, 3, 4]
    assert seen == [2, 2, 2]


def test_warm_is_what_no_longer_changes():
    clock = iter([0.03] * 6 + [0.002] * 100)
    runs, stable = warm_up(lambda: _wait(next(clock)), 20)
    assert stable
    assert 10 < len(runs) < 60
    runs, stable = warm_up(lambda: _wait(0.01), 0.03)
    assert not stable
    assert len(timed_runs(lambda: None, 0, 3)) == 3
    assert 1 < len(timed_runs(lambda: _wait(0.001), 0.05, 1)) < 51


def _wait(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_numbers_of_a_row():
    found = latency([[0.001, 0.002], [0.003, 0.004, 0.005]])
    assert (found.p50, found.p95) == pytest.approx((3, 4.8))
    assert found.spread == pytest.approx(2 / 3)
    twice = ratio([0.2, 0.4, 0.6], [0.1, 0.2, 0.1])
    assert twice.value == 2
    assert (twice.low, twice.high) == pytest.approx((2, 6))


def test_the_lineup_says_who_is_left_out_and_why(monkeypatch):
    monkeypatch.setattr(lineup, "has_hardware_bf16", lambda: True)
    found = lineup.lineup(("pytorch", "openvino", "onnxruntime"), ("fp16", "bf16", "int8"), None)
    assert found.entries == (
        Entry("pytorch", "fp32", "fp32", "cpu"),  # not asked for: the original always takes part
        Entry("openvino", "fp16", None, "cpu"),
        Entry("onnxruntime", "fp16", None, "cpu"),
        Entry("pytorch", "bf16", "bf16", "cpu"),
        Entry("openvino", "int8", None, "cpu"),
        Entry("onnxruntime", "int8", None, "cpu"),
    )
    assert found.left_out["pytorch int8"] == "pytorch has no int8 here: it has fp32, bf16"
    assert found.left_out["openvino bf16"].startswith("it is the row of fp16")
    limited = lineup.lineup(("pytorch", "openvino"), ("fp16", "bf16"), "avx2")
    assert [(one.engine, one.compute) for one in limited.entries] == [("pytorch", "fp32"), ("openvino", "fp32")]
    assert "no bf16 in hardware" in limited.left_out["pytorch bf16"]


def test_what_cannot_be_had_is_refused():
    with pytest.raises(InputError, match="--engines names 'x', which there is not: choose pytorch"):
        lineup.lineup(("x",), ("fp32",), None)
    with pytest.raises(InputError, match="--precisions names nothing"):
        lineup.lineup(("pytorch",), (), None)
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="pytorch-cuda was asked for, and PyTorch finds no CUDA device"):
            lineup.lineup((CUDA_ORIGINAL,), ("fp32",), None)
        with pytest.raises(BackendError, match="cuda was asked for and cannot be used"):
            lineup.lineup(("cuda",), ("fp32",), None)
    assert set(lineup.default_engines()) <= set(ENGINES)
    assert lineup.default_engines()[0] == "pytorch"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"variants": ("x",)}, "there is no variant 'x'"),
        ({"tasks": ("x",)}, "there is no task 'x'"),
        ({"batch_sizes": (1, 0)}, "--batch-size must be at least 1, not 0"),
        ({"threads": (0,)}, "--threads must be at least 1, not 0"),
        ({"rounds": 0}, "--rounds must be at least 1, not 0"),
        ({"images": 0}, "--images must be at least 1, not 0"),
        ({"round_seconds": -1.0}, "--round-seconds must be at least 0"),
        ({"image_sizes": (225,)}, "image size 225 is not a multiple"),
        ({"isa": "x"}, "there is no instruction-set limit 'x': choose avx2"),
        ({"image": "absent.png"}, "--image names absent.png, which is no file"),
        ({"isa": "avx2", "engines": ("cuda",)}, "--isa limits engines on the CPU"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(InputError, match=said):
        BenchSettings(**settings).check()


def test_user_errors_are_one_sentence(refused, tmp_path):
    assert "takes numbers with commas" in refused(cli.main, "--batch-size", "1,x")
    assert "there is no variant" in refused(cli.main, "--variant", "huge")
    assert "there is no segmentation head 'x'" in refused(
        cli.main, "--variant", "toy", "--task", "segment", "--weights", "random", "--head", "x"
    )
    assert "belongs to one network" in refused(cli.main, "--variant", "toy,tiny", "--weights", "file.pth")
    assert "does not exist" in refused(cli.main, "-o", tmp_path / "no" / "out.json")


def test_lists_as_typed():
    assert listed("--threads", "1, 2,1,", int) == (1, 2)
    assert listed("--threads", "", int) == ()


def test_a_file_that_is_no_report(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match="there is no file"):
        read_report(path)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_report(path)
    path.write_text('{"schema": 0}')
    with pytest.raises(InputError, match="is no report of schema 1"):
        read_report(path)
    path.write_text('{"schema": 1}')
    with pytest.raises(InputError, match="is no whole report"):
        read_report(path)
