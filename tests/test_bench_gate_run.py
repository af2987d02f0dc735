"""radiodino-bench gate on real files: one that was slowed and one that was broken, beside what it let pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
for module in ("torch", "timm", "onnxscript", "fvcore", "psutil", "scipy", "onnxruntime"):
    pytest.importorskip(module)

from onnx import helper, numpy_helper  # noqa: E402

from radiodino.benchmarks import cli, gate_command  # noqa: E402
from radiodino.benchmarks.bench import gate_baseline, run  # noqa: E402
from radiodino.benchmarks.bench.gate_baseline import Baseline, ClassRecord, Recorded, write_baseline  # noqa: E402
from radiodino.benchmarks.bench.machine_class import machine_class  # noqa: E402
from radiodino.benchmarks.bench.report import read_report  # noqa: E402
from radiodino.benchmarks.bench.work import Work  # noqa: E402
from radiodino.runtime.machine import this_machine  # noqa: E402
from radiodino.runtime.model_file import read_model_file, seal  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once")


def slowed(model):
    """Give the graph what changes no answer and takes long: products of large matrices, added 0 times."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([384, 384], np.int64), "wide"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1 / 384), "share"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    nodes = [
        helper.make_node("ReduceMean", [graph.input[0].name], ["shade"], keepdims=0),
        helper.make_node("Mul", ["shade", "share"], ["small"]),
        helper.make_node("Expand", ["small", "wide"], ["product0"]),
        *(helper.make_node("MatMul", ["product0", f"product{n}"], [f"product{n + 1}"]) for n in range(12)),
        helper.make_node("ReduceSum", ["product12"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nothing"], ["added"]),
        helper.make_node("Add", ["answer", "added"], [graph.output[0].name]),
    ]
    for node in graph.node:
        node.output[:] = ["answer" if name == graph.output[0].name else name for name in node.output]
    graph.node.extend(nodes)


def broken(model):
    """Shift the largest weights a little, as a fault in an export would."""
    largest = max(model.graph.initializer, key=lambda one: np.prod(one.dims))
    values = numpy_helper.to_array(largest)
    random = np.random.default_rng(0)
    shifted = values + (0.5 * values.std() * random.standard_normal(values.shape)).astype(values.dtype)
    largest.CopyFrom(numpy_helper.from_array(shifted, largest.name))


def altered(path, change):
    document = read_model_file(path).document
    model = onnx.load(path)
    del model.metadata_props[:]
    change(model)
    path.write_bytes(seal(model.SerializeToString(), document))


def test_a_slowed_and_a_broken_export_are_told_from_what_is_as_before(toy, command, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)
    monkeypatch.setattr(
        gate_command, "PACE", replace(gate_command.PACE, rounds=3, round_seconds=0.05, warm_seconds=0.3)
    )
    work = Work(variant="toy", task="embed", weights="random", image_size=64, batch_size=1, threads=1)
    usual = [
        Recorded(
            work=work, name=f"onnxruntime {precision}", images="8 made-up images", compute="fp32",
            speeds=(0.9, 1.0, 1.0, 1.0, 1.1), peak_mib=10_000, file_bytes=10**6, min_cosine=0.99999, same_label=None,
            dice_to_original=None, changes={},
        )
        for precision in ("fp32", "fp16")
    ]  # fmt: skip
    machine = this_machine()
    own = ClassRecord(processors=(machine.processor,), date="", versions={}, rows=tuple(usual))
    write_baseline(Baseline(classes={machine_class(machine, None): own}), tmp_path / "ours.json")
    monkeypatch.setattr(gate_baseline, "BUSY", 1.0)  # however busy it is: what is slowed here is slowed twentyfold
    exported = run.exported

    def worse(subject, precision, *others):
        found = exported(subject, precision, *others)
        altered(found.path, slowed if precision == "fp32" else broken)
        return found

    monkeypatch.setattr(run, "exported", worse)
    ended = command(
        cli.main, "gate", "--variant", "toy", "--image-size", 64, "--engines", "onnxruntime", "--precisions",
        "fp32,fp16", "--baseline", tmp_path / "ours.json", "-o", tmp_path / "worse.json", "--html", tmp_path / "a.html",
    )  # fmt: skip
    assert ended.status == 1, ended.out + ended.err
    reasons = [line for line in ended.out.splitlines() if line.startswith("broken ")]
    assert len(reasons) == 2, ended.out
    assert reasons[0].startswith("broken   onnxruntime fp32 (toy, embed, 64 px, batch 1, 1 thread): speed 0.")
    assert " ×, then 0." in reasons[0]  # measured again
    assert reasons[1].startswith("broken   onnxruntime fp16 (toy, embed, 64 px, batch 1, 1 thread): smallest cosine 0.")
    assert ended.out.splitlines()[-1] == "gate     broken, 2 of 2 rows"
    rows = read_report(tmp_path / "worse.json").rows
    assert [row.name for row in rows] == ["pytorch fp32", "onnxruntime fp32", "onnxruntime fp16"]
    for row in rows:
        assert [len(runs) for runs in row.cpu_seconds] == [len(runs) for runs in row.seconds]
        assert all(seconds > 0 for runs in row.cpu_seconds for seconds in runs)
    assert "onnxruntime fp16" in (tmp_path / "a.html").read_text()
