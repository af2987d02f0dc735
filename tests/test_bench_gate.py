"""What radiodino-bench gate records, lets pass and refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")
pytest.importorskip("psutil")

from radiodino.benchmarks import cli, gate_command
from radiodino.benchmarks.bench.gate import COSINE_NOISE, MEMORY, SPEED, TEXT_BYTES, judge
from radiodino.benchmarks.bench.gate_baseline import (
    BUSY,
    PACKAGED,
    Baseline,
    read_baseline,
    record,
    undisturbed,
    write_baseline,
)
from radiodino.benchmarks.bench.gate_limit import FALSE_ALARMS, FEWEST_RUNS, FLOOR, least_speed
from radiodino.benchmarks.bench.gate_tables import outcome, said
from radiodino.benchmarks.bench.machine_class import CLASSES, machine_class
from radiodino.benchmarks.bench.report import Report, read_report, write_report
from radiodino.benchmarks.bench.row import Quality, Row, WorkNote
from radiodino.benchmarks.bench.summary import latency, ratio
from radiodino.benchmarks.bench.work import Work
from radiodino.runtime.errors import InputError
from radiodino.runtime.machine import Machine

WORK = Work(variant="tiny", task="classify", weights="random", image_size=224, batch_size=1, threads=1)
QUALITY = Quality(
    images=50, mean_cosine=0.9999, min_cosine=0.998, label="class", clear=40, same_label=1.0, dice_to_original=0.99,
    scores={"accuracy": 0.8}, changes={"accuracy": -0.01},
)  # fmt: skip
AMX = Machine(
    processor="Xeon", architecture="x86_64", system="Linux", memory_gib=8.0, usable_cores=2,
    instruction_sets=("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16"),
)  # fmt: skip
OTHER = replace(AMX, processor="Core", instruction_sets=("avx2", "f16c"))


def row_of(name, speed, **changes):
    engine, precision = name.split()
    original = engine == "pytorch"
    seconds = tuple((0.02 / speed,) for _ in range(3))
    found = Row(
        work=WORK, name=name, engine=engine, version="1", precision=precision, compute="fp32", device="cpu",
        maker="original" if original else "radiodino", is_peer=False, is_original=original, latency=latency(seconds),
        images_per_second=1.0, ratio=ratio([0.02] * 3, [one for (one,) in seconds]), import_seconds=0.1,
        load_seconds=0.1, first_seconds=0.1, peak_mib=100.0, file_bytes=10**7, parameters=5, gmacs=1.0, gflops=1.0,
        peak_share=None, quality=QUALITY, remarks=(), stable=True, warm_seconds=(), from_file=None, seconds=seconds,
        cpu_seconds=seconds,
    )  # fmt: skip
    return replace(found, **changes)


def report_of(*rows, machine=AMX, images="50 images", **changes):
    note = WorkNote(work=WORK, peaks={}, others=0.0, stolen=0.0, noise=None, left_out={}, images=images, file=None)
    whole = Report(
        machine=machine, isa=None, date="2026-01-01", versions={"torch": "2.7"},
        rounds=gate_command.PACE.rounds, works=(note,), rows=(row_of("pytorch fp32", 1), *rows),
    )  # fmt: skip
    return replace(whole, **changes)


def unchanged(seed, names=("onnxruntime fp32", "openvino int8"), spread=0.03, **changes):
    random = np.random.default_rng(seed)
    return report_of(*(row_of(name, 3 * np.exp(spread * random.standard_normal())) for name in names), **changes)


@pytest.fixture(scope="module")
def baseline():
    return record([unchanged(seed) for seed in range(12)], Baseline(classes={}), extend=False)


def changed(**changes):
    """A run in which one row is as recorded, and the other differs in what is named."""
    return report_of(row_of("onnxruntime fp32", 3), row_of("openvino int8", **{"speed": 3, **changes}))


def test_what_others_add_to_most_rounds_is_not_counted():
    random = np.random.default_rng(0)
    calm = [(0.01, 0.0102, 0.0104)] * 50
    disturbed = [tuple(np.multiply(runs, random.choice([1, 1.4, 2], p=[0.2, 0.3, 0.5]))) for runs in calm]
    assert undisturbed(disturbed) == undisturbed(calm) == 0.01
    slower = [tuple(np.multiply(runs, 1.2)) for runs in disturbed]
    assert undisturbed(slower) == pytest.approx(0.012)


def test_unchanged_runs_pass_and_whatever_is_worse_does_not(baseline):
    for seed in range(100, 120):
        judgement = judge([unchanged(seed)], baseline)
        assert not judgement.broken
        assert not judgement.unjudged
    least = least_speed(baseline.classes["amx-bf16"].rows[1].speeds, 2)
    worse = {
        "speed": {"speed": 0.999 * least},
        "peak memory": {"peak_mib": 100 * (1 + MEMORY) + 1},
        "arithmetic": {"compute": "bf16"},
        "file": {"file_bytes": 10**7 + TEXT_BYTES + 1},
        "smallest cosine": {"quality": replace(QUALITY, min_cosine=0.998 - 1.01 * COSINE_NOISE["int8"])},
        "same label": {"quality": replace(QUALITY, same_label=39 / 40)},
        "Dice to the original": {"quality": replace(QUALITY, dice_to_original=0.985)},
        "accuracy beside the original": {"quality": replace(QUALITY, changes={"accuracy": -0.031})},
    }
    for what, changes in worse.items():
        (broken,) = judge([changed(**changes)], baseline).broken
        assert (broken.key[2], broken.what) == ("openvino int8", what)
        assert broken.reason.startswith(f"openvino int8 ({WORK}): {what} ")
        assert ", allowed " in broken.reason
        assert "--update" in broken.reason
    within = {
        "speed": 1.001 * least, "peak_mib": 109.0, "file_bytes": 10**7 + TEXT_BYTES,
        "quality": replace(QUALITY, min_cosine=0.998 - 0.99 * COSINE_NOISE["int8"], changes={"accuracy": -0.03}),
    }  # fmt: skip
    assert not judge([changed(**within)], baseline).broken
    assert {check.what for check in judge([changed()], baseline).checks} == set(worse)


def test_speed_is_broken_where_all_measurements_say_so_and_answers_where_one_does(baseline):
    slow, fine = changed(speed=2), changed()
    (doubtful,) = judge([slow], baseline).doubtful
    assert doubtful.what == SPEED
    assert not judge([slow, fine], baseline).broken
    (again,) = judge([slow, changed(speed=2.1)], baseline).broken
    assert "speed 2.00 ×, then 2.10 ×, allowed ≥ 2." in again.reason
    wrong = changed(quality=replace(QUALITY, same_label=0.5))
    assert not judge([wrong], baseline).doubtful  # the same answers would come again
    assert [check.what for check in judge([wrong, fine], baseline).broken] == ["same label"]
    blind = changed(quality=replace(QUALITY, dice_to_original=None))
    assert [check.measured for check in judge([blind], baseline).broken] == ["none"]


def busy(report):
    return replace(report, works=(replace(report.works[0], others=BUSY + 0.01),))


def test_a_busy_machine_tells_nothing_of_speed(baseline):
    slow = changed(speed=2)
    once = judge([busy(slow)], baseline)
    assert not once.broken
    assert [check.what for check in once.doubtful] == [SPEED] * 2  # to be measured again
    assert "but others used more than 30% of the processor's time" in once.unjudged[1]
    assert outcome(once) == "holds, 2 rows; speed was NOT judged"
    assert len(judge([busy(changed(speed=9))], baseline).unjudged) == 2  # no more when it looks fast
    assert judge([busy(slow), slow], baseline).broken
    assert judge([busy(changed()), slow], baseline).broken
    both = judge([busy(slow), changed()], baseline)
    assert not both.broken
    assert not both.unjudged
    assert judge([busy(changed(file_bytes=10**8))], baseline).broken


def test_runs_of_a_busy_machine_are_not_recorded():
    calm, loud = [unchanged(seed) for seed in range(5)], [busy(unchanged(seed)) for seed in range(5, 9)]
    empty = Baseline(classes={})
    assert record([*loud, *calm], empty, extend=False) == record(calm, empty, extend=False)
    with pytest.raises(InputError, match="others used more than 30% of the processor's time in all runs"):
        record(loud, empty, extend=False)


def test_another_class_is_held_to_files_and_answers_and_says_that_speed_is_not_judged(baseline):
    slow = judge([replace(changed(speed=1, peak_mib=900.0, compute="bf16"), machine=OTHER)], baseline)
    assert not slow.broken
    assert slow.unjudged == (f"no runs of {WORK} are recorded for machines of class avx2: record some there with "
                             "--update",)  # fmt: skip
    assert outcome(slow) == "holds, 2 rows; speed was NOT judged"
    assert ("speed", f"not judged: {slow.unjudged[0]}") in said(slow)
    large = judge([replace(changed(file_bytes=2 * 10**7), machine=OTHER)], baseline)
    assert [check.what for check in large.broken] == ["file"]
    assert outcome(large) == "broken, 1 of 2 rows; speed was NOT judged"
    both = record([replace(changed(file_bytes=2 * 10**7), machine=OTHER)] * FEWEST_RUNS, baseline, extend=False)
    third = replace(changed(file_bytes=2 * 10**7), machine=replace(OTHER, instruction_sets=("asimd",)))
    assert not judge([third], both).broken  # no worse than the worst class


def test_speed_is_judged_of_one_thread_alone(baseline):
    def with_two(report):
        work = replace(WORK, threads=2)
        rows = tuple(replace(row, work=work) for row in report.rows)
        return replace(report, works=(replace(report.works[0], work=work),), rows=rows)

    both = record([with_two(unchanged(seed)) for seed in range(FEWEST_RUNS)], baseline, extend=False)
    judgement = judge([with_two(changed(speed=1))], both)
    assert not judgement.broken
    assert "processor time of 2 threads is that of waiting for each other too" in judgement.unjudged[0]
    old = replace(changed(), rows=tuple(replace(row, cpu_seconds=()) for row in changed().rows))
    with pytest.raises(InputError, match="does not say what processor time runs took: measure again"):
        judge([old], baseline)


def test_how_busy_the_machine_is_moves_nothing(baseline):
    rows = changed().rows
    busy = tuple(replace(row, seconds=tuple((9 * value,) for (value,) in row.seconds)) for row in rows)
    assert judge([replace(changed(), rows=(rows[0], *busy[1:]))], baseline) == judge([changed()], baseline)


def test_what_is_not_recorded_is_not_passed(baseline):
    new = report_of(row_of("onnxruntime fp32", 3), row_of("openvino fp16", 3))
    judgement = judge([new], baseline)
    (broken,) = judgement.broken
    assert broken.reason.startswith(f"openvino fp16 ({WORK}): recorded runs 0, allowed ≥ {FEWEST_RUNS}: record it with")
    assert f"openvino int8 ({WORK}) is recorded and was not measured" in judgement.notes
    with pytest.raises(
        InputError, match=r"knows nothing of .* answers on 8 others, but of .* answers on 50 images: rec"
    ):
        judge([replace(changed(), works=report_of(images="8 others").works)], baseline)
    with pytest.raises(InputError, match="there is no row to judge"):
        judge([report_of(row_of("cuda fp32", 3, device="cuda"), row_of("openvino fp32", 3, is_peer=True))], baseline)
    with pytest.raises(InputError, match="the reports are of amx-bf16, avx2"):
        judge([changed(), replace(changed(), machine=OTHER)], baseline)


def test_notes_say_what_else_differs(baseline):
    report = replace(changed(), machine=replace(AMX, processor="Xeon 2"), versions={"torch": "2.8"})
    noisy = replace(report.works[0], noise="the machine was noisy")
    report = replace(report, works=(noisy,), rows=(*report.rows, row_of("cuda fp16", 9, device="cuda")))
    assert judge([report], baseline).notes == (
        "the machine was noisy", "rows on a GPU are not judged: classes are of CPUs",
        "this is a Xeon 2, and recorded was Xeon", "torch 2.8, recorded with 2.7",
    )  # fmt: skip


@pytest.mark.parametrize(("spread", "slower", "caught"), [(0.02, 1.2, 1.0), (0.02, 1.15, 0.97), (0.06, 1.0, 0.0)])
def test_few_false_alarms_over_all_rows_together_and_no_real_one_is_missed(spread, slower, caught):
    """Gates, each with a baseline and two measurements of its own, all drawn from one distribution."""
    random, rows, runs, gates = np.random.default_rng(0), 6, 12, 500
    once, twice = 0, 0
    for _ in range(gates):
        drawn = np.exp(spread * random.standard_normal((rows, runs + 2)))
        drawn[0, runs:] /= slower
        least = np.array([least_speed(ratios[:runs], rows) for ratios in drawn])
        below = drawn[:, runs:] < least[:, None]
        once += below[:, 0].any()
        twice += below.all(axis=1).any()
    if slower > 1:
        assert twice >= caught * gates
    else:
        assert 0 < once <= 2.5 * FALSE_ALARMS * gates  # as is promised of one measurement
        assert twice == 0


speeds_ = st.lists(st.floats(0.2, 20), min_size=FEWEST_RUNS, max_size=30)


@settings(deadline=None, max_examples=50)
@given(speeds_, st.integers(1, 50), st.floats(0.1, 10))
def test_a_limit_follows_its_runs(ratios, rows, factor):
    limit = least_speed(ratios, rows)
    assert 0 <= limit <= (1 - FLOOR) * np.exp(np.mean(np.log(ratios))) * (1 + 1e-9)
    assert least_speed([factor * one for one in ratios], rows) == pytest.approx(factor * limit)
    assert least_speed(ratios, rows + 1) <= limit * (1 + 1e-9)
    spread = [one * one / np.exp(np.mean(np.log(ratios))) for one in ratios]  # the same mean, twice as far apart
    assert least_speed(spread, rows) <= limit * (1 + 1e-9)


def test_a_limit_counted_by_hand():
    # Of logarithms 0, ±1/100 twice: s = 0.01, and t(0.99, 4) = 3.7469 widens it by √1.2.
    ratios = np.exp([0, 0.01, 0.01, -0.01, -0.01])
    assert least_speed(ratios, 1) == pytest.approx(1 - FLOOR)
    ratios = np.exp([0, 0.1, 0.1, -0.1, -0.1])
    assert least_speed(ratios, 1) == pytest.approx(np.exp(-3.7469 * 0.1 * np.sqrt(1.2)), abs=1e-4)


def test_a_baseline_keeps_each_runs_speed_and_the_worst_of_the_rest(baseline, tmp_path):
    write_baseline(baseline, tmp_path / "a.json")
    assert read_baseline(tmp_path / "a.json") == baseline
    (own,) = baseline.classes.values()
    assert own.processors == ("Xeon",)
    assert [row.name for row in own.rows] == ["onnxruntime fp32", "openvino int8"]
    assert own.rows[0].speeds == tuple(
        pytest.approx(0.02 / unchanged(seed).rows[1].cpu_seconds[0][0]) for seed in range(12)
    )
    worse = replace(QUALITY, min_cosine=0.9, same_label=0.8, dice_to_original=0.7, changes={"accuracy": -0.1, "f1": 0})
    run = report_of(row_of("openvino int8", 2, peak_mib=120.0, file_bytes=5, quality=worse), date="2027")
    run = replace(run, machine=replace(AMX, processor="Xeon 2"))
    with pytest.raises(InputError, match=f"1 runs of openvino int8 .* record at least {FEWEST_RUNS}"):
        record([run], baseline, extend=False)
    for extend in (True, False):
        (after,) = record([run] * FEWEST_RUNS, baseline, extend=extend).classes.values()
        assert after.rows[0] == own.rows[0]
        assert after.processors == ("Xeon", "Xeon 2")
        assert after.date == "2027"
        row = after.rows[1]
        assert row.speeds == ((own.rows[1].speeds if extend else ()) + (2.0,) * FEWEST_RUNS)
        assert (row.peak_mib, row.file_bytes) == (120, 10**7 if extend else 5)
        assert (row.min_cosine, row.same_label, row.dice_to_original) == (0.9, 0.8, 0.7)
        assert row.changes == ({"accuracy": -0.1} if extend else {"accuracy": -0.1, "f1": 0})
    limited = record([replace(run, isa="avx2")] * FEWEST_RUNS, baseline, extend=True)
    assert list(limited.classes) == ["amx-bf16", "amx-bf16 limited to avx2"]


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        (AMX.instruction_sets, "amx-bf16"),
        (("avx2", "avx512f", "avx512_vnni", "avx512_bf16"), "avx512-bf16"),
        (("avx2", "avx_vnni", "avx512f", "avx512_vnni"), "avx512-vnni"),
        (("avx2", "f16c", "avx512f"), "avx512"),
        (("avx2", "f16c", "avx_vnni"), "avx2-vnni"),
        (("avx2",), "avx2"),
        (("asimd", "bf16", "i8mm", "sve"), "neon-bf16"),
        (("asimd",), "neon"),
        ((), "Xeon (x86_64)"),
    ],
)
def test_the_class_of_a_machine(sets, name):
    machine = replace(AMX, instruction_sets=sets)
    assert machine_class(machine, None) == name
    assert name in CLASSES or not sets
    assert machine_class(machine, "avx2") == f"{name} limited to avx2"


def test_the_baseline_of_this_package_is_whole():
    every = read_baseline(PACKAGED)
    assert "amx-bf16" in every.classes
    for name, own in every.classes.items():
        assert name.partition(" limited to ")[0] in CLASSES
        for row in own.rows:
            assert len(row.speeds) >= 8
            assert row.peak_mib
            assert least_speed(row.speeds, len(own.rows)) > np.median(row.speeds) / 1.15  # a sixth slower shows


def test_reports_are_judged_and_recorded_by_the_command(command, tmp_path):
    paths = [tmp_path / f"{seed}.json" for seed in range(FEWEST_RUNS)]
    for seed, path in enumerate(paths):
        write_report(unchanged(seed), path)
    given = [part for path in paths for part in ("--report", path)]
    ours = ("--baseline", tmp_path / "ours.json")
    ended = command(cli.main, "gate", "--update", *given, *ours)
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[-1] == f"gate     recorded {FEWEST_RUNS} runs, amx-bf16"
    assert len(read_baseline(tmp_path / "ours.json").classes["amx-bf16"].rows[0].speeds) == FEWEST_RUNS
    ended = command(cli.main, "gate", "--extend", *given[:2], *ours)
    assert ended.status == 0, ended.err
    assert len(read_baseline(tmp_path / "ours.json").classes["amx-bf16"].rows[0].speeds) == FEWEST_RUNS + 1
    ended = command(cli.main, "gate", *given[:2], *ours, "--require-speed", "--markdown", tmp_path / "gate.md")
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[-1] == "gate     holds, 2 rows"
    assert "# radiodino-bench gate: holds, 2 rows" in (tmp_path / "gate.md").read_text()
    write_report(changed(speed=2), tmp_path / "slow.json")
    ended = command(cli.main, "gate", "--report", tmp_path / "slow.json", *ours, "--markdown", tmp_path / "gate.md")
    assert ended.status == 1
    assert f"broken   openvino int8 ({WORK}): speed 2.00 ×, allowed ≥ " in ended.out
    assert ended.out.splitlines()[-1] == "gate     broken, 1 of 2 rows"
    assert "| openvino int8 | 2.00 × (≥ " in (tmp_path / "gate.md").read_text()
    assert f"- broken: openvino int8 ({WORK}): speed 2.00 ×" in (tmp_path / "gate.md").read_text()
    write_report(replace(changed(), machine=OTHER), tmp_path / "other.json")
    for extra, status, last in (
        ((), 0, "gate     holds, 2 rows; speed was NOT judged"),
        (("--require-speed",), 1, "gate     holds, 2 rows; speed was NOT judged, and --require-speed asks for it"),
    ):
        ended = command(cli.main, "gate", "--report", tmp_path / "other.json", *ours, *extra)
        assert ended.status == status
        assert "speed    not judged: no runs of tiny" in ended.out
        assert ended.out.splitlines()[-1] == last


def test_as_many_runs_as_asked_are_measured_and_the_last_is_kept(command, tmp_path, monkeypatch):
    for module in ("torch", "timm", "onnx", "onnxscript", "fvcore"):
        pytest.importorskip(module)
    measured = []

    def measure(asked, label):
        measured.append((asked, label))
        return busy(unchanged(1)) if len(measured) == 1 else unchanged(len(measured) - 1)

    monkeypatch.setattr(gate_command, "_measured", measure)
    ours = ("--baseline", tmp_path / "ours.json", "-o", tmp_path / "last.json")
    ended = command(cli.main, "gate", "--update", "--runs", 6, "--task", "classify", "--precisions", "fp32,int8", *ours)
    assert ended.status == 0, ended.err
    (asked, _), *_rest = measured
    assert (asked.tasks, asked.precisions, asked.threads, asked.peaks) == (("classify",), ("fp32", "int8"), (1,), False)
    assert [label for _, label in measured] == [f"run {number} of 6: " for number in (1, 1, 2, 3, 4, 5, 6)]
    assert "gate     recorded 6 runs, amx-bf16; 1 are left out, for others used more than 30%" in ended.out
    assert read_report(tmp_path / "last.json") == unchanged(6)
    assert len(read_baseline(tmp_path / "ours.json").classes["amx-bf16"].rows[0].speeds) == 6
    # Too few to record: what was measured is kept nevertheless.
    ours = ("--baseline", tmp_path / "new.json", "-o", tmp_path / "kept.json")
    assert command(cli.main, "gate", "--extend", "--runs", 1, *ours).status == 2
    assert read_report(tmp_path / "kept.json") == unchanged(7)


def test_user_errors_are_one_sentence(refused, tmp_path):
    report, none = tmp_path / "report.json", tmp_path / "none.json"
    write_report(changed(), report)
    assert "leave out the options that say what" in refused(cli.main, "gate", "--report", report, "--variant", "small")
    assert "--runs is how often" in refused(cli.main, "gate", "--runs", 3)
    assert "--runs is how often" in refused(cli.main, "gate", "--update", "--runs", 3, "--report", report)
    assert "--runs must be at least 1" in refused(cli.main, "gate", "--extend", "--runs", 0, "--baseline", none)
    assert f"--runs must be at least {FEWEST_RUNS}" in refused(
        cli.main, "gate", "--update", "--runs", 4, "--baseline", none
    )
    assert "name the file with --baseline" in refused(cli.main, "gate", "--update")
    assert "--markdown is of what is judged" in refused(
        cli.main, "gate", "--update", "--baseline", none, "--markdown", tmp_path / "a.md"
    )
    assert "there is no baseline" in refused(cli.main, "gate", "--report", report, "--baseline", none)
    assert "there is no variant" in refused(cli.main, "gate", "--variant", "huge")
    assert "there is no baseline" in refused(cli.main, "gate", "--baseline", none)  # before anything is measured
    write_report(replace(changed(), rounds=9), none)
    assert "was measured in 9 rounds, and the gate measures in 50" in refused(cli.main, "gate", "--report", none)
    for text, said_ in (("{", "cannot be read as JSON"), ('{"schema": 1}', "is no baseline of schema 2"),
                        ('{"schema": 2}', "is no whole baseline")):  # fmt: skip
        none.write_text(text)
        assert said_ in refused(cli.main, "gate", "--report", report, "--baseline", none)
    assert "knows nothing of tiny, classify" in refused(cli.main, "gate", "--report", report)
