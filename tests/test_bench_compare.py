"""What radiodino-bench compare tells of two reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("psutil")

from radiodino.benchmarks import cli
from radiodino.benchmarks.bench.compare import FASTER, SAME, SLOWER, change_of, compare, verdict_of
from radiodino.benchmarks.bench.report import Report, read_report, write_report
from radiodino.benchmarks.bench.row import Quality, Row, WorkNote
from radiodino.benchmarks.bench.settings import BenchSettings
from radiodino.benchmarks.bench.summary import latency, ratio
from radiodino.benchmarks.bench.targets import TARGETS, judge_targets, settings_of
from radiodino.benchmarks.bench.work import Work
from radiodino.runtime.machine import this_machine

WORK = Work(variant="tiny", task="embed", weights="random", image_size=224, batch_size=1, threads=2)
QUALITY = Quality(
    images=8, mean_cosine=0.9999, min_cosine=0.9998, label="nearest label", clear=7, same_label=1.0,
    dice_to_original=None, scores={"accuracy": 0.8}, changes={"accuracy": 0.0},
)  # fmt: skip


def row_of(name, milliseconds, seed, *, rounds=9, noise=0.02, engine="openvino"):
    random = np.random.default_rng(seed)
    seconds = tuple(
        tuple(float(value) / 1000 for value in milliseconds * (1 + noise * random.standard_normal(5)))
        for _ in range(rounds)
    )
    return Row(
        work=WORK, name=name, engine=engine, version="1", precision="fp32", compute="fp32", device="cpu",
        maker="original" if engine == "pytorch" else "radiodino", is_peer=False, is_original=engine == "pytorch",
        latency=latency(seconds), images_per_second=1.0, ratio=ratio([0.02] * rounds, [0.01] * rounds),
        import_seconds=0.1, load_seconds=0.1, first_seconds=0.1, peak_mib=100.0, file_bytes=1000, parameters=5,
        gmacs=1.0, gflops=1.0, peak_share=None, quality=QUALITY, remarks=(), stable=True, warm_seconds=(),
        from_file=None, seconds=seconds,
    )  # fmt: skip


def report_of(*rows, **changes):
    note = WorkNote(work=WORK, peaks={}, others=0.0, stolen=0.0, noise=None, left_out={}, images="8 images", file=None)
    return replace(
        Report(machine=this_machine(), isa=None, date="now", versions={}, rounds=9, works=(note,), rows=rows), **changes
    )


def test_twenty_unchanged_runs_move_nothing_and_a_slowed_one_does():
    def run(seed, slower=1.0, machine=1.0):
        return report_of(
            row_of("pytorch fp32", 20 * machine, 2 * seed, engine="pytorch"),
            row_of("openvino fp32", 5 * slower * machine, 2 * seed + 1),
        )

    first = run(0)
    verdicts = [compare(first, run(seed, machine=1 + seed / 10)).changes[0].verdict for seed in range(1, 21)]
    assert verdicts == [SAME] * 20  # though the machine is up to three times slower
    (slowed,) = compare(first, run(21, slower=1.2)).changes
    assert slowed.verdict == SLOWER
    assert slowed.ratio.low < slowed.ratio.value < slowed.ratio.high < 1
    assert slowed.after / slowed.before == pytest.approx(slowed.ratio.value)
    assert slowed.before == pytest.approx(4, rel=0.05)
    assert compare(first, run(22, slower=0.8)).changes[0].verdict == FASTER


def test_noise_hides_what_it_must():
    random = np.random.default_rng(0)
    loud = [4 * (1 + 0.4 * random.standard_normal(5)) for _ in range(2)]
    found = change_of(loud[0], 0.9 * loud[1])
    assert found.low < 1 < found.high
    assert verdict_of(found) == SAME
    small = change_of(np.full(9, 4.0), np.full(9, 3.9))
    assert (small.low, small.high) == pytest.approx((0.975, 0.975))
    assert verdict_of(small) == SAME  # within what two runs of the same may differ by


def test_files_answers_and_what_came_and_went(command, tmp_path):
    original, old = row_of("pytorch fp32", 20, 0, engine="pytorch"), row_of("openvino fp32", 5, 1)
    quality = replace(QUALITY, min_cosine=0.98, scores={"accuracy": 0.75})
    new = replace(old, file_bytes=1200, peak_mib=150.0, compute="bf16", version="2", quality=quality)
    gone, came = replace(old, name="gone fp32"), replace(old, name="new fp32")
    noisy = WorkNote(
        work=WORK,
        peaks={},
        others=0.5,
        stolen=0.0,
        noise="the machine was noisy",
        left_out={},
        images="8 images",
        file=None,
    )
    write_report(report_of(original, old, gone), tmp_path / "a.json")
    write_report(report_of(original, new, came, works=(noisy,), isa="avx2"), tmp_path / "b.json")
    found = compare(read_report(tmp_path / "a.json"), read_report(tmp_path / "b.json"))
    assert [change.name for change in found.changes] == ["openvino fp32"]
    assert found.changes[0].others == (
        "computes in bf16, not fp32", "openvino 2, not 1", "file +200 bytes", "peak memory 100 → 150 MiB",
        "smallest cosine 0.99980 → 0.98000", "accuracy 80.00 → 75.00 %",
    )  # fmt: skip
    assert found.gone == (f"{WORK}: gone fp32",)
    assert found.new == (f"{WORK}: new fp32",)
    assert found.notes == ("limited to nothing and to avx2", f"{WORK}: the machine was noisy")
    ended = command(cli.main, "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert ended.status == 0
    assert "moved    nothing beyond noise" in ended.out
    assert "gone     tiny, embed, 224 px, batch 1, 2 threads: gone fp32" in ended.out


def test_promises_beside_what_was_measured():
    def named(name, milliseconds, seed, **changes):
        row = row_of(name, milliseconds, seed, noise=0, engine=changes.pop("engine", "openvino"))
        original = [0.02] * 9
        medians = [np.median(one) for one in row.seconds]
        return replace(row, ratio=ratio(original, medians), precision="int8", **changes)

    original = row_of("pytorch fp32", 20, 0, engine="pytorch", noise=0)
    own, slower = named("openvino int8", 4, 1), named("onnxruntime int8", 10, 2, engine="onnxruntime")
    peer = named("openvino int8 (NNCF)", 5, 3, is_peer=True, maker="NNCF")
    first, alone, *rest = judge_targets(TARGETS, report_of(original, own, slower, peer))
    assert not rest  # what was not measured is not judged
    assert (first.row.name, first.peer, first.met) == ("openvino int8", "openvino int8 (NNCF)", True)
    assert (first.ratio, first.over_peer) == pytest.approx((5, 1.25))
    assert (alone.row.name, alone.ratio, alone.met) == ("onnxruntime int8", pytest.approx(2), False)
    near = named("openvino int8 (NNCF)", 4.1, 3, is_peer=True, maker="NNCF")
    assert not judge_targets(TARGETS, report_of(original, own, near))[0].met
    assert not judge_targets(TARGETS, report_of(original, own))[0].met  # no peer, no proof


def test_each_network_of_the_promises_is_measured_once():
    runs = settings_of(TARGETS, BenchSettings(peers=True))
    assert [(one.variants, one.tasks, one.image_sizes) for one in runs] == [
        (("tiny",), ("embed",), ()), (("small",), ("embed",), ()), (("base",), ("embed",), ()),
        (("tiny",), ("segment",), (448,)),
    ]  # fmt: skip
    assert [one.end_to_end for one in runs] == [True, False, False, False]
    assert runs[0].precisions == ("fp32", "fp16", "int8")
    assert runs[3].head == "paper"
    assert [one.calibration_count for one in runs] == [200, 200, 200, 32]
    for one in runs:
        one.check()


def test_a_variant_without_promises_is_refused(refused):
    for module in ("torch", "timm", "onnx", "openvino", "onnxruntime", "nncf", "fvcore"):
        pytest.importorskip(module)
    assert "nothing is promised for tiny-sp" in refused(cli.main, "targets", "--variant", "tiny-sp")


def test_a_file_that_is_no_report_is_refused(refused, tmp_path):
    assert "there is no file" in refused(cli.main, "compare", tmp_path / "a.json", tmp_path / "b.json")
