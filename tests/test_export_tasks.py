"""Exports with heads: the outputs of each task, what the file says of them, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from onnx import TensorProto  # noqa: E402

from radiodino.export import pipeline  # noqa: E402
from radiodino.export.cli import main  # noqa: E402
from radiodino.export.original import load_original  # noqa: E402
from radiodino.export.pipeline import export_model  # noqa: E402
from radiodino.export.settings import OUTPUTS, TASK_OUTPUTS, ExportSettings  # noqa: E402
from radiodino.export.verify import Tolerance, classes_changed, compare, pooled_dice, tolerance_of  # noqa: E402
from radiodino.export.verify_file import verify_file  # noqa: E402
from radiodino.runtime import InputError, Model, VerificationError, WeightsError  # noqa: E402
from radiodino.runtime.model_info import TASKS, Preprocessing  # noqa: E402
from radiodino.runtime.notice import NOTICES  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.classify.checkpoint import load_classifier, save_classifier  # noqa: E402
from radiodino.train.classify.classifier import Classifier, new_head  # noqa: E402
from radiodino.train.segment.heads import build_head  # noqa: E402
from radiodino.train.segment.segmenter import Segmenter, load_segmenter, save_segmenter  # noqa: E402
from radiodino.train.weights.load import WeightsSource, load_weights, sharpen_attention  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once", "_toy_in_the_family")

SIZE = 64
CLASSES = ["benign", "malignant", "normal"]
SMALL = {
    "lite": {"channels": (12, 8, 6), "blocks": (1, 1, 1), "detail": 4},
    "paper": {"channels": 6, "blocks": 2},
}


@pytest.fixture
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


def common(size=SIZE):
    return {
        "variant": "toy",
        "image_size": size,
        "preprocessing": json.loads(json.dumps(asdict(Preprocessing(resize=(size, size))))),
        "training_set": {"name": "busi.zip"},
        "weights": asdict(WeightsSource("published", "hf_hub:toy", "ab" * 32, "MIT", "without head")),
        "seed": 5,
    }


def classify_document(size=SIZE, **changes):
    own = {
        "task": "classify",
        "classes": CLASSES,
        "temperature": 0.7,
        "thresholds": None,
        "metrics": {"accuracy": 0.9, "auc": None},
        "recipe": {"freeze_backbone": True},
    }
    return {**common(size), **own, **changes}


def segment_document(head, size=SIZE, **changes):
    own = {
        "task": "segment",
        "schema": 1,
        "patch": 16,
        "head": {"kind": head.kind, **head.settings},
        "classes": ["lesion"],
        "threshold": 0.5,
        "test_metrics": {"all": {"dice": 0.7}},
    }
    return {**common(size), **own, **changes}


def lively(head):
    """A head whose batch norm does something and whose mask is neither empty nor full, as after a training."""
    with torch.no_grad():
        for number, module in enumerate(head.modules()):
            if isinstance(module, torch.nn.BatchNorm2d):
                random = torch.Generator().manual_seed(number)
                for values, low, high in (
                    (module.running_mean, -0.5, 0.5),
                    (module.running_var, 0.05, 0.5),
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.5, 0.5),
                ):
                    values.uniform_(low, high, generator=random)
    return head


@pytest.fixture(scope="module")
def backbone(toy):
    model, _ = load_weights(toy, "random", image_size=SIZE)
    sharpen_attention(model, 6)
    return model


@pytest.fixture(scope="module")
def linear(toy):
    head = new_head(toy.embedding_size, len(CLASSES), 3)
    with torch.no_grad():
        head.weight *= 20
        head.bias += torch.tensor([0.3, -0.2, 0.1])
    return head


@pytest.fixture(scope="module")
def files(toy, backbone, linear, tmp_path_factory):
    """Paths of a classifier and of a segmenter with each head, on one backbone."""
    folder = tmp_path_factory.mktemp("heads")
    save_classifier(folder / "classifier.pth", Classifier(backbone, linear), classify_document())
    for kind, settings in SMALL.items():
        head = lively(build_head(kind, toy.embedding_size, toy.patch, **settings))
        save_segmenter(folder / f"segmenter-{kind}.pth", Segmenter(backbone, head), segment_document(head))
    return {name: str(folder / f"{name}.pth") for name in ("classifier", "segmenter-lite", "segmenter-paper")}


@pytest.fixture
def settings(toy, files, tmp_path):
    """Of an export of both heads with all outputs."""
    return ExportSettings(
        toy,
        (files["classifier"], files["segmenter-lite"]),
        task="classify+segment",
        outputs=("attention", "cam"),
        output=tmp_path / "toy.onnx",
    )


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(1).standard_normal((3, 3, SIZE, SIZE)).astype(np.float32)


# What a file gives


@pytest.mark.parametrize("kind", ["lite", "paper"])
def test_the_outputs_are_those_of_the_modules(settings, files, batch, kind):
    weights = (files["classifier"], files[f"segmenter-{kind}"])
    exported = export_model(replace(settings, weights=weights))
    classifier, _ = load_classifier(files["classifier"])
    segmenter, _ = load_segmenter(Path(weights[1]))
    images = torch.from_numpy(batch)
    with torch.no_grad():
        logits = classifier(images)
        patches = classifier.backbone.forward_features(images)[:, 1:]
        wanted = {
            "embedding": classifier.backbone(images),
            "logits": logits,
            "probabilities": (logits / 0.7).softmax(1),
            "mask": segmenter(images).sigmoid(),
            "cam": torch.stack([patches @ row for row in classifier.head.weight], dim=1),
        }
    for backend in ("onnxruntime", "openvino"):
        model = Model.load(exported.path, backend=backend)
        for size in (1, 3):
            found = model.run(batch[:size])
            assert found.keys() == {*wanted, "attention"}
            for name, values in wanted.items():
                assert np.abs(found[name] - values[:size].numpy()).max() < 2e-5, (backend, name)
    assert 0.02 < float((wanted["mask"] >= 0.5).float().mean()) < 0.98  # the fixture's masks have something to compare


def test_a_map_sums_to_what_the_head_would_say_of_the_mean_patch(settings, batch, linear):
    found = Model.load(export_model(replace(settings, outputs=("cam", "patch_tokens"))).path).run(batch)
    mean = torch.from_numpy(found["patch_tokens"].mean(axis=1))
    wanted = (linear(mean) - linear.bias).detach().numpy()
    assert np.allclose(found["cam"].mean(axis=2), wanted, atol=1e-5)


def test_the_file_says_what_its_heads_are(settings, files):
    exported = export_model(settings)
    info = Model.load(exported.path).info
    assert (info.task, info.image_size, info.notice) == ("classify+segment", SIZE, None)
    assert [output.name for output in info.outputs] == [
        "embedding", "logits", "probabilities", "mask", "attention", "cam",
    ]  # fmt: skip
    assert [output.shape for output in info.outputs] == [
        (-1, 48), (-1, 3), (-1, 3), (-1, SIZE, SIZE), (-1, 3, 16), (-1, 3, 16),
    ]  # fmt: skip
    head = info.classifier
    assert (head.classes, head.temperature, head.thresholds) == (tuple(CLASSES), 0.7, None)
    assert (head.training_set, head.metrics, head.name) == (
        "busi.zip", {"accuracy": 0.9, "auc": None}, "classifier.pth",
    )  # fmt: skip
    mask = info.segmenter
    assert (mask.label, mask.threshold, mask.head, mask.name) == ("lesion", 0.5, "lite", "segmenter-lite.pth")
    assert mask.metrics == {"all": {"dice": 0.7}}
    assert (info.weights.kind, info.weights.name, info.weights.licence) == ("published", "hf_hub:toy", "MIT")
    assert {found["output"] for found in info.verification["comparisons"]} == set(info_names(info))
    assert "no Grad-CAM" in info.outputs[-1].meaning


def info_names(info):
    return [output.name for output in info.outputs]


def test_one_head_alone(settings, files, batch):
    classify = export_model(replace(settings, task="classify", weights=files["classifier"], outputs=()))
    assert Model.load(classify.path).run(batch).keys() == set(TASK_OUTPUTS["classify"])
    assert classify.info.segmenter is None
    segment = export_model(replace(settings, task="segment", weights=files["segmenter-lite"], outputs=(), force=True))
    assert Model.load(segment.path).run(batch).keys() == set(TASK_OUTPUTS["segment"])
    assert segment.info.classifier is None


def test_the_order_of_the_files_does_not_matter(settings):
    first = export_model(settings).path.read_bytes()
    again = export_model(replace(settings, weights=settings.weights[::-1], force=True)).path.read_bytes()
    assert first == again


def test_every_task_of_the_runtime_can_be_exported():
    assert set(TASK_OUTPUTS) == set(TASKS)
    assert all(name in OUTPUTS for names in TASK_OUTPUTS.values() for name in names)


def test_names_of_files_say_the_task(toy):
    names = [str(ExportSettings(toy, "demo", task=task, precision="fp16").target) for task in TASKS]
    assert names == [
        "radiodino-toy-demo-fp16.onnx",
        "radiodino-toy-demo-classify-fp16.onnx",
        "radiodino-toy-demo-segment-fp16.onnx",
        "radiodino-toy-demo-classify-segment-fp16.onnx",
    ]
    own = ExportSettings(toy, ("a.pth", "b.pth"), task="classify+segment")
    assert str(own.target) == "radiodino-toy-classify-segment-fp32.onnx"


# The graph


@pytest.fixture
def fp16(settings):
    return onnx.shape_inference.infer_shapes(onnx.load(export_model(replace(settings, precision="fp16")).path))


def test_the_backbone_runs_once_and_batch_norm_not_at_all(fp16, toy):
    found = [node.op_type for node in fp16.graph.node]
    assert found.count("LayerNormalization") == 2 * toy.depth + 1
    assert "BatchNormalization" not in found
    assert {node.output[0] for node in fp16.graph.node} >= {"segment_head.enter", "segment_head.levels.1", "norm"}
    weights = {tensor.name for tensor in fp16.graph.initializer}
    assert {"head.weight", "head.bias", "segment_head.enter.weight", "segment_head.leave.bias"} <= weights


def test_what_stays_in_fp32(fp16):
    values = (*fp16.graph.input, *fp16.graph.value_info, *fp16.graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {tensor.name: tensor.data_type for tensor in fp16.graph.initializer}
    for node in fp16.graph.node:
        if node.op_type == "Sigmoid" or node.name in ("logits", "calibration/Div", "probabilities"):
            assert {kinds[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT}, node.name
        if node.op_type == "Conv":
            assert {kinds[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}, node.name
        if node.op_type == "Resize":
            assert kinds[node.input[2]] == TensorProto.FLOAT, node.name
    assert {value.type.tensor_type.elem_type for value in fp16.graph.output} == {TensorProto.FLOAT}
    assert kinds["segment_head.enter.weight"] == TensorProto.FLOAT16


def test_the_batch_alone_is_dynamic(fp16):
    for value in (*fp16.graph.input, *fp16.graph.output):
        batch, *others = value.type.tensor_type.shape.dim
        assert batch.dim_param == "batch", value.name
        assert all(size.dim_value > 0 for size in others), value.name


# Verification


def test_a_mask_that_differs_is_not_written_and_says_where(settings, monkeypatch, tmp_path):
    wrong_weight(monkeypatch, "segment_head.narrow.1.weight", 1.5)
    with pytest.raises(VerificationError, match=r"'mask' in .*Dice of .* first after 'segment_head\.narrow\.1'"):
        export_model(settings)
    assert not settings.output.exists()


def test_logits_that_differ_are_not_written(settings, monkeypatch):
    wrong_weight(monkeypatch, "head.bias", 1.01)
    with pytest.raises(VerificationError, match=r"'(logits|probabilities)'.*every stage before the outputs is within"):
        export_model(settings)
    assert not settings.output.exists()


def wrong_weight(monkeypatch, name, factor):
    clean_up = pipeline.clean_up

    def wrongly(model, stages):
        cleaned = clean_up(model, stages)
        tensor = next(tensor for tensor in cleaned.graph.initializer if tensor.name == name)
        values = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
        return cleaned

    monkeypatch.setattr(pipeline, "clean_up", wrongly)


def judged(found, wanted, tolerance, threshold=None):
    results, references = ([{"x": np.asarray(values, np.float32)}] for values in (found, wanted))
    return compare("engine", "fp32", "x", results, references, tolerance, threshold)


def test_probabilities_are_judged_by_their_largest_error_and_the_class():
    for precision, compute, limit in (("fp32", "fp32", 1e-4), ("fp16", "fp32", 5e-3), ("fp16", "fp16", 5e-3)):
        tolerance = tolerance_of(precision, compute, "probabilities")
        assert (tolerance.absolute_error, tolerance.margin) == (limit, 1e-3)
    assert tolerance_of("fp16", "bf16", "probabilities").absolute_error <= 2e-2
    tolerance = Tolerance(absolute_error=5e-3, margin=1e-3)
    assert judged([[0.5, 0.5049]], [[0.5, 0.5]], tolerance).passed
    assert not judged([[0.5, 0.5051]], [[0.5, 0.5]], tolerance).passed
    turned = judged([[0.5005, 0.4995]], [[0.499, 0.501]], tolerance)  # 2e-3 apart, so the class must stay
    assert (turned.classes_changed, turned.passed) == (1, False)
    assert judged([[0.5001, 0.4999]], [[0.4998, 0.5002]], tolerance).passed


def test_classes_count_as_changed_beyond_the_margin_alone():
    wanted = np.array([[0.6, 0.4, 0.0], [0.5, 0.4999, 0.0]])
    assert classes_changed(np.array([[0.4, 0.6, 0.0], [0.4, 0.6, 0.0]]), wanted, 1e-3) == 1
    assert classes_changed(wanted, wanted, 0.0) == 0


def test_masks_are_judged_by_dice_and_by_the_largest_error():
    tolerance = Tolerance(absolute_error=1e-2, dice=0.99)
    wanted = np.linspace(0, 1, 1000)[None]
    assert judged(wanted, wanted, tolerance, 0.5).dice == 1
    moved = judged(wanted + 0.009, wanted, tolerance, 0.5)
    assert moved.absolute_error == pytest.approx(0.009, abs=1e-4)
    assert 0.99 <= moved.dice < 1
    assert moved.passed
    assert judged(wanted, wanted, replace(tolerance, dice=0.9999), 0.5).passed
    assert not judged(wanted + 0.009, wanted, replace(tolerance, dice=0.9999), 0.5).passed
    hovering = np.where(wanted < 0.5, 0.4995, 0.5005)  # within the margin the original itself leaves it open
    assert judged(1 - hovering, hovering, replace(tolerance, margin=1e-3), 0.5).passed
    assert not judged(1 - hovering, hovering, replace(tolerance, margin=1e-4), 0.5).passed
    # Two empty masks agree, so the probabilities must be compared too.
    assert judged([[0.1]], [[0.2]], tolerance, 0.5).dice == 1
    assert not judged([[0.1]], [[0.2]], tolerance, 0.5).passed


def test_dice_of_all_images_together():
    yes, no = np.ones((2, 4), bool), np.zeros((2, 4), bool)
    assert pooled_dice(no, no) == 1
    assert pooled_dice(yes, no) == 0
    half = yes.copy()
    half[0] = False
    assert pooled_dice(half, yes) == pytest.approx(2 * 4 / 12)


def test_tolerances_of_masks_are_as_promised():
    found = {
        key: tolerance_of(*key, "mask").dice
        for key in (("fp32", "fp32"), ("fp16", "fp32"), ("fp16", "fp16"), ("fp16", "bf16"))
    }
    assert list(found.values()) == [0.999, 0.995, 0.995, 0.99]
    for key in found:  # what is open is as wide as for classes
        assert tolerance_of(*key, "mask").margin == tolerance_of(*key, "probabilities").margin
        assert tolerance_of(*key, "mask").absolute_error is not None
    # An empty mask of another network: nothing but the relation of its small probabilities tells.
    tolerance = tolerance_of("fp16", "bf16", "mask")
    empty = np.exp(np.random.default_rng(0).normal(-9, 2, (1, 4096)))
    assert judged(empty * 1.05, empty, tolerance, 0.5).passed
    assert not judged(empty[:, ::-1], empty, tolerance, 0.5).passed


def test_logits_near_zero_may_point_anywhere():
    for compute, limit in (("fp32", 5e-3), ("bf16", 2e-2)):
        tolerance = tolerance_of("fp16", compute, "logits")
        assert judged([[10.0, 0.0], [0.0, 5 * limit]], [[10.0, 0.0], [5 * limit, 0.0]], tolerance).passed
        assert not judged([[10.0, 0.0], [0.0, 11 * limit]], [[10.0, 0.0], [0.0, 0.0]], tolerance).passed


def test_values_that_are_not_finite_never_pass():
    for tolerance in (Tolerance(absolute_error=1.0, margin=0.0), Tolerance(absolute_error=1.0, dice=0.5)):
        assert not judged([[np.nan, 1.0]], [[0.5, 0.5]], tolerance, 0.5).passed


def test_a_file_is_verified_again_with_both_checkpoints(settings, files, linear, backbone, tmp_path):
    export_model(replace(settings, precision="fp16"))
    comparisons = verify_file(settings.output, settings.weights[::-1])
    assert all(found.passed for found in comparisons)
    assert {found.output for found in comparisons} == {*TASK_OUTPUTS["classify+segment"], "attention", "cam"}
    with pytest.raises(InputError, match=r"classifier\.pth and segmenter-lite\.pth: name each with --weights"):
        verify_file(settings.output)
    with pytest.raises(InputError, match=r"--weights FILE for .*classifier\.pth.* found .*classifier\.pth"):
        verify_file(settings.output, files["classifier"])
    other = tmp_path / "classifier.pth"
    save_classifier(other, Classifier(backbone, linear), classify_document(temperature=0.8))
    with pytest.raises(WeightsError, match=r"made from classifier\.pth with SHA-256 .* has .*: name the right file"):
        verify_file(settings.output, (str(other), settings.weights[1]))


# Where the backbone comes from


def test_a_fine_tuned_backbone_is_no_longer_what_its_source_published(settings, linear, backbone, tmp_path):
    file = tmp_path / "classifier.pth"
    for kind, notice in (("published", None), ("demo", NOTICES["demo"]), ("random", None)):
        weights = {**common()["weights"], "kind": kind}
        document = classify_document(recipe={"freeze_backbone": False}, weights=weights)
        save_classifier(file, Classifier(backbone, linear), document)
        original = load_original(replace(settings, task="classify", weights=str(file), outputs=()))
        assert (original.weights.kind, original.weights.name) == ("file", "classifier.pth")
        assert original.weights.detail == f"fine-tuned from hf_hub:toy (SHA-256 {'ab' * 32})"
        assert original.notice == notice


def test_of_a_frozen_backbone_all_is_said_that_its_source_says(settings, linear, backbone, files, tmp_path):
    file = tmp_path / "classifier.pth"
    for kind in ("demo", "random"):
        weights = {**common()["weights"], "kind": kind}
        save_classifier(file, Classifier(backbone, linear), classify_document(weights=weights))
        original = load_original(replace(settings, weights=(files["segmenter-lite"], str(file))))
        assert (original.weights.kind, original.notice) == (kind, NOTICES[kind])
    assert original.weights.seed == 5


# What is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "detect"}, "no task 'detect': choose embed, classify, segment, classify"),
        ({"weights": "published"}, r"--weights demo, or --weights FILE for the classifier\.pth .* found published"),
        ({"weights": ("random", "demo")}, "found random, demo"),
        ({"weights": ()}, "found none"),
        ({"weights": "one.pth"}, r"and for a segmenter-\*\.pth .* found one\.pth"),
        ({"task": "segment", "weights": "one.pth"}, "'cam' is a map of a classification head"),
        ({"task": "embed", "weights": "random"}, "'cam' is a map of a classification head"),
        ({"task": "embed", "weights": ("a", "b"), "outputs": ()}, "one --weights is wanted .* 2 were given"),
        ({"outputs": ("depth",)}, "choose of patch_tokens, attention, cam"),
        ({"checkpoint_key": "teacher"}, "--checkpoint-key belongs to --task embed"),
        ({"image_size": 80}, "for 64 px, not for 80 px"),
    ],
)
def test_settings_that_are_refused(settings, changes, reason):
    with pytest.raises(InputError, match=reason):
        export_model(replace(settings, **changes))
    assert not settings.output.exists()


def test_files_that_do_not_belong_together(settings, files, toy, backbone, linear, tmp_path):
    lite, other = files["segmenter-lite"], tmp_path / "other.pth"
    both = replace(settings, weights=(str(other), lite))

    changed, _ = load_weights(toy, "random", image_size=SIZE)
    save_classifier(other, Classifier(changed, linear), classify_document())
    with pytest.raises(WeightsError, match=r"backbones of other\.pth and segmenter-lite\.pth differ \(2 of .*--freeze"):
        load_original(both)

    larger, _ = load_weights(toy, "random", image_size=80)
    save_classifier(other, Classifier(larger, linear), classify_document(80))
    with pytest.raises(InputError, match=r"other\.pth for 80 px and segmenter-lite\.pth for 64 px: .* at one size"):
        load_original(both)

    with pytest.raises(InputError, match=r"holds a segmenter, and another one was given before it"):
        load_original(replace(settings, weights=(files["segmenter-paper"], lite)))
    with pytest.raises(InputError, match=r"holds a segmenter, and --task classify has no use for it"):
        load_original(replace(settings, task="classify", weights=lite))


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"preprocessing": {"mode": "L"}}, WeightsError, "another preprocessing"),
        ({"temperature": 0.0}, WeightsError, "temperature of classifier.pth is 0.0, expected above 0"),
        ({"temperature": float("inf")}, WeightsError, "expected above 0"),
        ({"temperature": None}, WeightsError, "entry 'temperature' is of the wrong type"),
        ({"thresholds": {"normal": 0.4}}, WeightsError, "for the second of two classes"),
        ({"classes": ["a", "b", "a"]}, WeightsError, "two classes of classifier.pth have one name"),
        ({"training_set": None}, WeightsError, "entry 'training_set' is of the wrong type"),
        ({"weights": {}}, WeightsError, "entry 'detail' is missing"),
        ({"weights": {**common()["weights"], "kind": "own"}}, WeightsError, "of the kind 'own', expected one of demo"),
        ({"metrics": 3}, WeightsError, "entry 'metrics' is of the wrong type"),
    ],
)
def test_documents_that_make_no_sense(settings, backbone, linear, tmp_path, changes, error, reason):
    file = tmp_path / "classifier.pth"
    save_classifier(file, Classifier(backbone, linear), classify_document(**changes))
    with pytest.raises(error, match=reason):
        load_original(replace(settings, task="classify", weights=str(file)))


def test_a_threshold_is_that_of_the_second_of_two_classes(settings, toy, backbone, tmp_path):
    file = tmp_path / "classifier.pth"
    classifier = Classifier(backbone, new_head(toy.embedding_size, 2, 0))
    for thresholds, right in (({"ill": 0.3}, True), ({"well": 0.3}, False), ({"ill": 1.3}, False), (None, True)):
        save_classifier(file, classifier, classify_document(classes=["well", "ill"], thresholds=thresholds))
        asked = replace(settings, task="classify", weights=str(file))
        if right:
            assert load_original(asked).classifier_info.thresholds == thresholds
        else:
            with pytest.raises(WeightsError, match="thresholds"):
                load_original(asked)


def test_a_segmenter_of_several_labels_or_another_patch_is_refused(settings, toy, backbone, tmp_path):
    head = build_head("lite", toy.embedding_size, toy.patch, **SMALL["lite"])
    asked = replace(settings, task="segment", weights=str(tmp_path / "s.pth"), outputs=())
    for changes, reason in (({"classes": ["a", "b"]}, "one label"), ({"patch": 8}, "patches of 8 px")):
        save_segmenter(tmp_path / "s.pth", Segmenter(backbone, head), segment_document(head, **changes))
        with pytest.raises(WeightsError, match=reason):
            load_original(asked)


def test_a_head_of_another_variant_is_refused(settings, files):
    with pytest.raises(InputError, match=r"classifier\.pth is of the variant 'toy', not of 'tiny'"):
        load_original(replace(settings, variant=VARIANTS["tiny"]))


def test_a_checkpoint_without_a_head_is_refused(settings, backbone, tmp_path):
    torch.save({"model": backbone.state_dict()}, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match=r"bare\.pth holds no head: .*--task embed"):
        load_original(replace(settings, task="segment", weights=str(tmp_path / "bare.pth"), outputs=()))


# The command


def test_from_the_command_line(command, files, backbone, linear, here):
    weights = {**common()["weights"], "kind": "random", "name": "random, seed 5"}
    (here / "run").mkdir()
    save_classifier(here / "run" / "classifier.pth", Classifier(backbone, linear), classify_document(weights=weights))
    arguments = ("--variant", "toy", "--task", "classify", "--weights", "run", "--outputs", "cam")
    ended = command(main, *arguments)
    assert ended.status == 0, ended.err
    file = here / "radiodino-toy-classify-fp32.onnx"
    assert [path.name for path in here.glob("*.onnx")] == [file.name]
    assert "RANDOM WEIGHTS" in ended.err
    for part in ("same classes", "benign, malignant, normal (from classifier.pth)", "radiodino-run classify"):
        assert part in ended.out, part
    verified = command(main, "verify", file, "--weights", "run")
    assert verified.status == 0
    assert "agrees with its original" in verified.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--task", "classify"], "found none"),
        (["--task", "read"], "there is no task 'read'"),
        (["--weights", "a.pth", "--weights", "b.pth"], "2 were given"),
        (["--task", "segment", "--outputs", "cam", "--weights", "a.pth"], "leave it out"),
        (["--task", "segment", "--weights", "absent.pth"], "absent.pth"),
    ],
)
def test_errors_are_one_sentence(refused, here, arguments, sentence):
    assert sentence in refused(main, "--variant", "toy", *arguments)
    assert not list(here.iterdir())
