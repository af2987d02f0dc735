"""The gate before an int8 file is written: what is measured, what is demanded, and what goes back to float."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("timm")

from onnx import numpy_helper  # noqa: E402

from radiodino.export.cleanup import clean_up  # noqa: E402
from radiodino.export.divergence import stages  # noqa: E402
from radiodino.export.int8 import mixed  # noqa: E402
from radiodino.export.int8.calibration_set import CalibrationImages, CalibrationSet  # noqa: E402
from radiodino.export.int8.gate import (  # noqa: E402
    Gate,
    Neighbours,
    failing_outputs,
    failures,
    of_classes,
    of_neighbours,
)
from radiodino.export.int8.layers import linear_layers  # noqa: E402
from radiodino.export.int8.limits import GateLimits  # noqa: E402
from radiodino.export.int8.mixed import quantise_within  # noqa: E402
from radiodino.export.int8.multiply_adds import multiply_adds  # noqa: E402
from radiodino.export.int8.plan import plan_quantisation  # noqa: E402
from radiodino.export.int8.sensitivity import by_sensitivity  # noqa: E402
from radiodino.export.original import Original  # noqa: E402
from radiodino.export.trace import trace  # noqa: E402
from radiodino.runtime.errors import InputError, VerificationError  # noqa: E402
from radiodino.runtime.model_info import ClassifierInfo, Preprocessing, Weights  # noqa: E402
from radiodino.runtime.preprocessing import Preprocessor  # noqa: E402
from radiodino.runtime.quantisation_info import CalibrationInfo, GateMeasure, GateResult  # noqa: E402
from radiodino.train.weights.load import load_weights, sharpen_attention  # noqa: E402

SIZE = 32
LIMITS = GateLimits()


def pictures(count, first=0):
    """Structure of several sizes, as unlike each other as scans are; with a label of their brightness."""
    random = np.random.default_rng(first)
    images, labels = [], []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (4 + number % 5, 5), np.uint8))
        smooth = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
        bright = number % 2
        shade = (smooth * 0.3 + 170 * bright).clip(0, 255).astype(np.uint8)
        images.append(Image.fromarray(shade))
        labels.append("bright" if bright else "dark")
    return CalibrationImages(tuple(images), tuple(labels), Preprocessor(Preprocessing(resize=(SIZE, SIZE))))


@pytest.fixture(scope="module")
def images():
    info = CalibrationInfo(sources=(), count=16, held_out=16, seed=0, sha256="", notes=())
    return CalibrationSet(pictures(16), pictures(16, 1), info, ())


@pytest.fixture(scope="module")
def original(toy):
    backbone, _ = load_weights(toy, "random", image_size=SIZE)
    sharpen_attention(backbone, 6)
    return Original(backbone, SIZE, Weights(kind="random", name="", sha256="", licence=None), None)


@pytest.fixture(scope="module")
def model(original):
    return clean_up(trace(original.backbone, SIZE, ("embedding",)), stages(original.backbone))


@pytest.fixture(scope="module")
def plan(model, images):
    return plan_quantisation(model, images.calibration.batches())


@pytest.fixture(scope="module")
def gate(original, images):
    return Gate(original, ("embedding",), images, LIMITS)


def values(result):
    return {measure.name: measure for measure in result.measures}


# What is judged


def test_the_fp32_graph_passes_in_every_engine(gate, model):
    results = gate.judge(model)
    ways = {(result.engine.partition(" ")[0], result.compute, result.optimised) for result in results}
    assert {("onnxruntime", "fp32", True), ("onnxruntime", "fp32", False), ("openvino", "fp32", True)} <= ways
    assert all(result.passed for result in results)
    assert failures(results) == ""
    for result in results:
        found = values(result)
        assert found["mean cosine"].value > (0.9999 if result.compute == "fp32" else 0.999)
        assert found["mean cosine"].images == 16
        if result.optimised:
            assert found["same nearest label"].value == 1


def test_no_arithmetic_is_left_out_that_the_runtime_would_use(gate):
    from radiodino.export.engine import cpu_backends
    from radiodino.runtime.compute import choose_compute

    ways = {(way.backend, way.compute) for way in gate.ways}
    for status in cpu_backends():
        assert (status.name, choose_compute(status.name, status.arithmetic, precision="int8", requested=None)) in ways


def test_a_wrong_graph_fails_and_says_where(gate, model):
    wrong = onnx.ModelProto()
    wrong.CopyFrom(model)
    for tensor in wrong.graph.initializer:
        if tensor.name == "blocks.1.mlp.fc1.weight":
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    results = gate.judge(wrong)
    assert len(results) == len(gate.ways)
    assert not any(result.passed for result in results)
    assert "smallest cosine" in failures(results)
    assert "(fp32, not optimised) where 0.995 is demanded" in failures(results)
    assert failing_outputs(results) == {"embedding"}
    assert len(gate.judge(wrong, whole=False)) == 1


def test_progress_is_told(gate, model):
    told = []
    gate.judge(model, told.append)
    assert len(told) == len(gate.ways)
    assert any("onnxruntime (fp32)" in line for line in told)


# Labels


def test_the_nearest_label():
    gallery = np.array([[1, 0], [0, 1], [1, 0.2]], np.float32)
    queries = np.array([[1, 0.1], [0.1, 1], [1, 1], [5, 0]], np.float32)
    found = Neighbours.find(gallery, queries, ["a", "b", "a"], ["a", "b", "", "b"])
    assert found.labels.tolist() == ["a", "b", "a"]
    assert found.own.tolist() == ["a", "b", "b"]  # what has no label does not count
    assert found.margin[2] == pytest.approx(1)


def neighbours(labels, own, margin):
    return Neighbours(np.array(labels), np.array(own), np.array(margin, np.float64))


def test_only_clear_neighbours_count():
    own = ["a"] * 4
    before = neighbours(["a", "a", "b", "a"], own, [0.5, 0.001, 0.5, 0.5])
    after = neighbours(["a", "b", "b", "a"], own, [0.5, 0.001, 0.5, 0.5])
    same, change = of_neighbours(after, before, LIMITS)
    assert (same.value, same.images, same.passed) == (1, 3, True)
    assert change.value == -0.25
    assert (change.limit, change.passed) == (None, True)  # too few to judge
    worse = of_neighbours(neighbours(["b", "a", "b", "a"], own, [0.5] * 4), before, LIMITS)[0]
    assert worse.value == pytest.approx(2 / 3)
    assert not worse.passed


@pytest.mark.parametrize(("lost", "passed"), [(0, True), (1, False), (-3, True)])
def test_a_drop_of_accuracy_is_judged_where_it_can_be_seen(lost, passed):
    own = np.array(["a"] * 1000)
    before, after = own.copy(), own.copy()
    before[:5] = "b"
    after[: 5 + lost] = "b"
    change = of_neighbours(neighbours(after, own, [0.0] * 1000), neighbours(before, own, [0.0] * 1000), LIMITS)[-1]
    assert change.value == pytest.approx(-lost / 1000)
    assert (change.limit, change.passed) == (-0.001, passed)


HEAD = ClassifierInfo(
    classes=("benign", "malignant"), temperature=1.0, thresholds=None, training_set="", metrics={}, name="", sha256=""
)


def test_only_clear_classes_count():
    wanted = np.array([[0.9, 0.1], [0.51, 0.49], [0.2, 0.8]], np.float32)
    found = np.array([[0.8, 0.2], [0.49, 0.51], [0.3, 0.7]], np.float32)
    same, change = of_classes(found, wanted, HEAD, ["benign", "malignant", "unknown"], LIMITS)
    assert (same.value, same.images) == (1, 2)
    assert (change.value, change.images) == (0.5, 2)  # of the images whose label is a class
    turned = of_classes(found[:, ::-1], wanted, HEAD, [""] * 3, LIMITS)
    assert [measure.name for measure in turned] == ["same class"]
    assert not turned[0].passed


def test_a_class_that_a_threshold_decides_is_judged_by_it():
    head = replace(HEAD, thresholds={"malignant": 0.2})
    wanted = np.array([[0.7, 0.3], [0.79, 0.21]], np.float32)
    found = np.array([[0.75, 0.25], [0.85, 0.15]], np.float32)
    same = of_classes(found, wanted, head, ["", ""], LIMITS)[0]
    assert (same.value, same.images) == (1, 1)  # the second is not clear
    crossed = of_classes(np.array([[0.9, 0.1]], np.float32), wanted[:1], head, [""], LIMITS)[0]
    assert crossed.value == 0


# Limits


@pytest.mark.parametrize("limits", [{"mean_cosine": 0.9999}, {"min_cosine": 1.0}, {"agreement": 0.999}, {}])
def test_limits_can_be_tightened(limits):
    GateLimits(**limits).check()


@pytest.mark.parametrize(
    ("limits", "option"),
    [
        ({"mean_cosine": 0.99}, "--mean-cosine"),
        ({"min_cosine": 0.9}, "--min-cosine"),
        ({"agreement": 1.1}, "--min-agreement"),
        ({"min_cosine": float("nan")}, "--min-cosine"),
    ],
)
def test_limits_cannot_be_loosened(limits, option):
    with pytest.raises(InputError, match=f"{option} can only be tightened: give a value from 0.99"):
        GateLimits(**limits).check()


# Back to float


def test_each_layer_is_measured_alone(plan, images):
    told = []
    costs = by_sensitivity(plan, images.calibration, ["embedding"], told.append)
    assert {stage for stage, _ in costs} == {planned.layer.stage for planned in plan.layers}
    assert [cost for _, cost in costs] == sorted((cost for _, cost in costs), reverse=True)
    assert costs[0][1] > costs[-1][1] >= 0
    assert told[-1].endswith(f"{len(costs)} of {len(costs)}")


def test_a_layer_that_is_broken_is_the_most_sensitive(plan, images):
    broken = broken_at(plan, {"blocks.1.mlp.fc2"})
    assert by_sensitivity(broken, images.calibration, ["embedding"])[0][0] == "blocks.1.mlp.fc2"


def broken_at(plan, stages):
    """The plan with inputs of these layers rounded to two or three steps."""
    layers = tuple(
        replace(planned, input_range=replace(planned.input_range, scale=planned.input_range.scale * 100))
        if planned.layer.stage in stages
        else planned
        for planned in plan.layers
    )
    return replace(plan, layers=layers)


def test_nothing_goes_back_where_the_gate_holds(gate, plan, images):
    found = quantise_within(gate, plan, images.calibration)
    assert found.put_back == ()
    assert failures(found.gate) == ""
    assert len(found.gate) == len(gate.ways)
    assert found.quantised.float_share == 0


def test_what_fails_alone_goes_back_alone(gate, plan, images):
    found = quantise_within(gate, broken_at(plan, {"blocks.0.mlp.fc2"}), images.calibration)
    assert found.put_back == ("blocks.0.mlp.fc2",)
    assert failures(found.gate) == ""
    assert 0 < found.quantised.float_share < 1


@dataclass
class Needs:
    """A gate that demands so many layers in float."""

    count: int
    tried: list

    def judge(self, model, progress, whole):
        kept = sum(node.op_type == "DequantizeLinear" for node in model.graph.node)
        self.tried.append(kept)
        in_float = ALL - sum(tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2
                             for tensor in model.graph.initializer)  # fmt: skip
        self.tried[-1] = in_float
        passed = in_float >= self.count
        measure = GateMeasure(output="embedding", name="mean cosine", value=0.5, limit=0.9, images=1, passed=passed)
        return (GateResult(engine="onnxruntime 1", compute="fp32", optimised=True, measures=(measure,)),)


ALL = 9
"""Layers of the toy: the last block's query and its keys and values are one each."""


@pytest.mark.parametrize(("count", "tried"), [(0, [0]), (1, [0, 1]), (3, [0, 1, 2, 4, 3]), (6, [0, 1, 2, 4, 8, 6, 5])])
def test_no_more_goes_back_than_needed(plan, images, count, tried):
    assert len(plan.layers) == ALL
    gate = Needs(count, [])
    assert len(quantise_within(gate, plan, images.calibration).put_back) == count
    assert gate.tried == tried


def test_a_file_without_int8_is_no_int8_file(plan, images):
    gate = Needs(ALL, [])
    with pytest.raises(VerificationError, match=r"even with 8 of its 9 layers in float: mean cosine 0\.5.*--fp16"):
        quantise_within(gate, plan, images.calibration)
    assert max(gate.tried) == ALL - 1


def test_the_search_for_sensitive_layers_can_be_interrupted(plan, images, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mixed, "by_sensitivity", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quantise_within(Needs(3, []), plan, images.calibration)


# Work


def test_the_work_of_a_graph(model, toy):
    tokens, width = (SIZE // toy.patch) ** 2 + 1, toy.embedding_size
    patches = (tokens - 1) * 3 * toy.patch**2 * width
    attention = 2 * tokens * tokens * width
    block = tokens * 12 * width**2 + attention
    last = tokens * 2 * width**2 + 10 * width**2 + 2 * tokens * width  # for the CLS query alone
    assert multiply_adds(model) == patches + (toy.depth - 1) * block + last
    assert sum(layer.multiply_adds for layer in linear_layers(model)) == multiply_adds(model) - patches - (
        (toy.depth - 1) * attention + 2 * tokens * width
    )
