"""Packing the demonstration weights, and their model card; the real ones, where they lie in export/demo."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnx")
safetensors_torch = pytest.importorskip("safetensors.torch")

from safetensors import safe_open  # noqa: E402

from radiodino.export import demo_weights  # noqa: E402
from radiodino.export.cli import main as export_main  # noqa: E402
from radiodino.export.demo_card import demo_card  # noqa: E402
from radiodino.export.demo_weights import CARD, LIMIT, main, pack_demo, read_about  # noqa: E402
from radiodino.export.verify_file import verify_file  # noqa: E402
from radiodino.runtime import Model  # noqa: E402
from radiodino.runtime.cli import main as run_main  # noqa: E402
from radiodino.runtime.errors import InputError, OutputError, WeightsError  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.notice import NOTICES  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.classify.checkpoint import load_classifier, save_classifier  # noqa: E402
from radiodino.train.classify.classifier import Classifier, new_head  # noqa: E402
from radiodino.train.classify.demonstration import demonstration_classifier  # noqa: E402
from radiodino.train.explain.draw_grad_cam import open_classifier  # noqa: E402
from radiodino.train.explain.settings import Settings  # noqa: E402
from radiodino.train.segment.demonstration import demonstration_segmenter  # noqa: E402
from radiodino.train.segment.heads import build_head  # noqa: E402
from radiodino.train.segment.segmenter import Segmenter, load_segmenter, save_segmenter  # noqa: E402
from radiodino.train.weights import demonstration as module  # noqa: E402
from radiodino.train.weights.backbone_state import backbone_state  # noqa: E402
from radiodino.train.weights.demonstration import bundled_file, demonstration, demonstration_folder  # noqa: E402
from radiodino.train.weights.load import WeightsSource, load_weights  # noqa: E402

STEPS = 100
RECIPE = {"variant": "toy", "seed": 7, "batch_size": 16, "stages": [{"until": 0.8}]}
FIGURE = {"what": "1-NN accuracy (%), BUSI, 125 images", "demo": 67.5, "random": 55.8, "pixels": 67.9, "at_least": 66.0}
ABOUT = {
    "licence": "CC BY-SA 4.0",
    "data": [{"name": "BUSI", "source": "Al-Dhabyani et al. 2020", "licence": "CC BY 4.0", "images": 499}],
    "machine": "2 cores",
    "commands": ["radiodino-train pretrain --data busi.zip --out run"],
    "measured": [FIGURE, {"what": "probe F1", "demo": 0.5, "random": None, "pixels": None, "at_least": None}],
    "remarks": ["Trained at low resolution."],
}


@pytest.fixture(autouse=True)
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture(scope="module")
def state(toy):
    """Trained at 128 px, so that the position table is to be resized."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_backbone(toy, 128).state_dict()


@pytest.fixture
def run(state, tmp_path):
    """The folder of a run, as far as packing reads it."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_checkpoint(folder, state)
    (folder / "recipe.json").write_text(
        json.dumps({"recipe": RECIPE, "versions": {"radiodino": "0.1.0", "torch": "2"}})
    )
    (folder / "about.json").write_text(json.dumps(ABOUT))
    with (folder / "log.csv").open("w", newline="") as stream:  # it may be ahead of the checkpoint
        rows = csv.writer(stream)
        rows.writerows([("step", "loss"), *((step, 100 - step) for step in range(STEPS + 3))])
    return folder


def save_checkpoint(folder, state, **changes):
    wrapped = {f"backbone.{name}": value for name, value in state.items()}
    teacher = {**wrapped, "head.last_layer.weight": torch.ones(4, 2)}
    student = {name: value + 1 for name, value in teacher.items()}
    content = {"student": student, "teacher": teacher, "step": STEPS, "recipe": RECIPE, **changes}
    torch.save({name: value for name, value in content.items() if value is not None}, folder / "checkpoint.pth")


@pytest.fixture
def out(tmp_path, monkeypatch):
    """The folder to pack into, taken for this installation's."""
    monkeypatch.setattr(module, "demonstration_folder", lambda: tmp_path / "demo")
    return tmp_path / "demo"


def on_packed(state, toy, size=64):
    """The backbone as it is packed, for images of `size`."""
    fitted, _ = backbone_state(state, toy, image_size=224)
    half = {name: value.half() for name, value in fitted.items()}
    backbone = build_backbone(toy, size)
    backbone.load_state_dict(backbone_state(half, toy, image_size=size)[0])
    return backbone


def document_of(task, **more):
    return {
        "task": task,
        "variant": "toy",
        "image_size": 64,
        "preprocessing": json.loads(json.dumps(dataclasses.asdict(Preprocessing(resize=(64, 64))))),
        "training_set": {"name": "busi.zip"},
        "weights": dataclasses.asdict(WeightsSource("demo", "the packed ones", "", None, "")),
        **more,
    }


CLASSIFY = document_of(
    "classify",
    classes=["benign", "malignant"],
    temperature=1.5,
    thresholds={"malignant": 0.4},
    metrics={"accuracy": 0.8},
    recipe={"freeze_backbone": True},
)


@pytest.fixture
def head(state, toy, tmp_path):
    file = tmp_path / "classifier.pth"
    save_classifier(file, Classifier(on_packed(state, toy), new_head(48, 2, 0)), CLASSIFY)
    return file


@pytest.fixture
def segmenter(state, toy, tmp_path):
    file = tmp_path / "segmenter-lite.pth"
    lite = build_head("lite", 48, 16, channels=(8, 6, 4), blocks=(1, 1, 1), detail=2)
    document = document_of(
        "segment", schema=1, classes=["lesion"], threshold=0.4, head={"kind": "lite", **lite.settings}, test_metrics={}
    )
    save_segmenter(file, Segmenter(on_packed(state, toy), lite), document)
    return file


def test_the_teacher_in_half_precision_at_224(run, out, state, toy):
    record = pack_demo(run, out, read_about(run / "about.json"))
    stored = safetensors_torch.load_file(out / "toy.safetensors")
    expected, _ = backbone_state(state, toy, image_size=224)
    assert list(stored) == sorted(expected)
    assert stored["pos_embed"].shape == (1, 1 + 14 * 14, 48)
    assert all(torch.equal(stored[name], value.half()) for name, value in expected.items())
    assert (record.seed, record.steps, record.samples, record.recipe) == (7, STEPS, STEPS * 16, RECIPE)
    with safe_open(out / "toy.safetensors", framework="pt") as opened:
        assert json.loads(opened.metadata()["radiodino"]) == {"variant": "toy", "notice": NOTICES["demo"]}


def test_the_record_is_what_a_reader_finds(run, out, head):
    record = pack_demo(run, out, read_about(run / "about.json"), [head])
    assert demonstration() == record
    assert sorted(record.files) == ["busi-classifier.safetensors", "toy.safetensors"]
    for name, file in record.files.items():
        data = (out / name).read_bytes()
        assert (file.sha256, file.size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert bundled_file(name) == out / name
    assert [record.files[name].holds for name in sorted(record.files)] == ["head", "backbone"]
    assert str(run) not in (out / "demo.json").read_text()


def test_what_is_packed_loads(run, out, state, toy):
    pack_demo(run, out, read_about(run / "about.json"))
    model, source = load_weights(toy, "demo", image_size=64)
    expected, _ = backbone_state(safetensors_torch.load_file(out / "toy.safetensors"), toy, image_size=64)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.items())
    assert source.kind == "demo"


def test_heads_are_stored_in_half_precision_with_their_documents(run, out, head, segmenter):
    record = pack_demo(run, out, read_about(run / "about.json"), [segmenter, head])
    assert sorted(record.files) == ["busi-classifier.safetensors", "busi-segmenter.safetensors", "toy.safetensors"]
    with safe_open(out / "busi-classifier.safetensors", framework="pt") as opened:
        assert json.loads(opened.metadata()["radiodino"]) == CLASSIFY
        assert sorted(opened.keys()) == ["bias", "weight"]
        assert opened.get_tensor("weight").dtype == torch.float16
    stored = safetensors_torch.load_file(out / "busi-segmenter.safetensors")
    assert not any(name.startswith("backbone") for name in stored)
    assert stored["enter.norm.num_batches_tracked"].dtype == torch.int64
    assert "measured with the head in fp32" in (out / CARD).read_text(encoding="utf-8")


def test_packed_heads_are_what_was_trained_up_to_rounding(run, out, head, segmenter, toy):
    pack_demo(run, out, read_about(run / "about.json"), [head, segmenter])
    classifier, document, file = demonstration_classifier(toy)
    trained, _ = load_classifier(head)
    assert document == CLASSIFY
    assert file == out / "busi-classifier.safetensors"
    assert torch.equal(classifier.head.weight, trained.head.weight.half().float())
    for name, value in trained.backbone.state_dict().items():
        assert torch.equal(classifier.backbone.state_dict()[name], value), name
    lite, document, _ = demonstration_segmenter(toy)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(lite(images), load_segmenter(segmenter)[0](images), atol=1e-2)
    assert document["threshold"] == 0.4


@pytest.mark.usefixtures("traced_once")
def test_a_task_is_exported_from_what_is_bundled(run, out, head, segmenter, command, here):
    pack_demo(run, out, read_about(run / "about.json"), [head, segmenter])
    arguments = ("--variant", "toy", "--task", "classify+segment", "--weights", "demo", "--fp16")
    ended = command(export_main, *arguments)
    assert ended.status == 0, ended.err
    assert ended.err.count("DEMONSTRATION WEIGHTS") == 2
    file = here / "radiodino-toy-demo-classify-segment-fp16.onnx"
    info = Model.load(file).info
    assert (info.weights.kind, info.notice) == ("demo", NOTICES["demo"])
    assert info.weights.sha256 == demonstration().files["toy.safetensors"].sha256
    assert info.classifier.name == "busi-classifier.safetensors"
    assert info.classifier.sha256 == demonstration().files["busi-classifier.safetensors"].sha256
    assert info.classifier.thresholds == {"malignant": 0.4}
    assert info.segmenter.sha256 == demonstration().files["busi-segmenter.safetensors"].sha256
    assert all(found.passed for found in verify_file(file))  # without being told the weights


def test_a_head_that_is_not_bundled_is_named(run, out, head, refused, here):
    pack_demo(run, out, read_about(run / "about.json"), [head])
    said = refused(export_main, "--variant", "toy", "--task", "segment", "--weights", "demo")
    assert "have no segmentation head (busi-segmenter.safetensors)" in said
    assert "segmenter-*.pth" in said
    assert not list(here.glob("*.onnx"))


def test_grad_cam_takes_the_bundled_classifier(run, out, head, toy):
    pack_demo(run, out, read_about(run / "about.json"), [head])
    opened = open_classifier(Settings(variant=toy, weights="demo", pictures=("gradcam",)))
    assert opened.classes == ["benign", "malignant"]


def test_the_same_run_gives_the_same_bytes(run, out, head, state):
    heads = [head]
    pack_demo(run, out, read_about(run / "about.json"), heads)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    save_checkpoint(run, dict(reversed(state.items())))
    pack_demo(run, out, read_about(run / "about.json"), heads)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert sorted(first) == [CARD, "busi-classifier.safetensors", "demo.json", "toy.safetensors"]


def test_the_loss_is_that_of_the_steps_in_the_checkpoint(run, out):
    loss = pack_demo(run, out, read_about(run / "about.json")).loss
    assert len(loss) == 40
    assert loss[0] == (2 * 16, 99.5)  # the first 2 of 100 steps: losses 100 and 99
    assert loss[-1][0] == STEPS * 16
    assert loss[-1][1] == pytest.approx(2.0, abs=0.6)  # of the last, 1 and 2 and at most 3


def test_a_short_run_has_fewer_entries(run, out, state):
    save_checkpoint(run, state, step=3)
    assert pack_demo(run, out, read_about(run / "about.json")).loss == ((16, 100.0), (32, 99.0), (48, 98.0))


# The card


@pytest.fixture
def record(run, out):
    return pack_demo(run, out, read_about(run / "about.json"))


def test_the_card_says_what_must_be_said(record, out):
    card = (out / CARD).read_text(encoding="utf-8")
    assert card == demo_card(record)
    first = card.splitlines()[0]
    assert "a demonstration, not Radio DINO's weights, not for clinical use" in first
    assert "FALL SHORT" not in card
    for word in (
        "CC BY-SA 4.0", "BUSI", "Al-Dhabyani", "CC BY 4.0", "499", "seed 7", "2 cores", "1,600 samples in 100 steps",
        "radiodino-train pretrain --data busi.zip --out run", "67.5", "55.8", "67.9", "66", "torch 2",
        '"batch_size": 16', record.files["toy.safetensors"].sha256, "Trained at low resolution.", "not for diagnosis",
        "line [99.5, ",
    ):  # fmt: skip
        assert word in card, word


@pytest.mark.parametrize("value", [65.9, float("nan")])
def test_the_first_line_says_what_falls_short(record, value):
    short = dataclasses.replace(record.measured[0], demo=value)
    card = demo_card(dataclasses.replace(record, measured=(short, *record.measured[1:])))
    assert "FALL SHORT in 1 of 2 figures" in card.splitlines()[0]
    assert f"Short: 1-NN accuracy (%), BUSI, 125 images is {value:g}, asked for 66." in card


def test_the_first_line_says_what_was_not_measured(record):
    assert "NOT MEASURED" not in demo_card(record)
    for measured in ((), record.measured[1:]):
        assert "NOT MEASURED" in demo_card(dataclasses.replace(record, measured=measured)).splitlines()[0]


# What cannot be packed


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"recipe": None}, InputError, "states no recipe"),
        ({"step": None}, InputError, "no step"),
        ({"teacher": {}}, WeightsError, "no backbone under 'teacher'"),
        ({"step": STEPS + 50}, InputError, "has 103 of the 150 steps"),
    ],
)
def test_what_is_no_run(run, out, state, changes, error, reason):
    save_checkpoint(run, state, **changes)
    with pytest.raises(error, match=reason):
        pack_demo(run, out, read_about(run / "about.json"))
    assert not out.exists()


@pytest.mark.parametrize("name", ["log.csv", "recipe.json"])
@pytest.mark.parametrize("content", [None, "", "no such thing"])
def test_what_a_run_lacks(run, out, name, content):
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    with pytest.raises(InputError, match=name):
        pack_demo(run, out, read_about(run / "about.json"))


def test_values_that_half_precision_cannot_hold(run, out, state):
    save_checkpoint(run, {**state, "norm.bias": torch.full((48,), 1e5)})
    with pytest.raises(WeightsError, match=r"'norm\.bias' holds values beyond ±65504"):
        pack_demo(run, out, read_about(run / "about.json"))
    assert not out.exists()


def test_more_than_may_be_shipped(run, out, monkeypatch):
    assert LIMIT == 15_000_000
    monkeypatch.setattr(demo_weights, "LIMIT", 100_000)
    with pytest.raises(OutputError, match="at most 100,000 may be shipped"):
        pack_demo(run, out, read_about(run / "about.json"))
    assert not out.exists()


def test_a_head_of_another_packing_is_not_left_beside_the_new_backbone(run, out, head):
    pack_demo(run, out, read_about(run / "about.json"), [head])
    before = (out / "demo.json").read_bytes()
    with pytest.raises(OutputError, match=r"no part of this packing \(busi-classifier\.safetensors\): delete it first"):
        pack_demo(run, out, read_about(run / "about.json"))
    assert (out / "demo.json").read_bytes() == before


def test_heads_that_cannot_be_packed(run, out, head, state, toy, tmp_path):
    about = read_about(run / "about.json")
    with pytest.raises(InputError, match="a second head for the task 'classify'"):
        pack_demo(run, out, about, [head, head])
    with pytest.raises(WeightsError, match="absent"):
        pack_demo(run, out, about, [tmp_path / "absent.pth"])
    with pytest.raises(WeightsError, match=r"checkpoint\.pth holds no head"):
        pack_demo(run, out, about, [run / "checkpoint.pth"])
    backbone = build_backbone(toy, 64)
    backbone.load_state_dict(backbone_state(state, toy, image_size=64)[0])  # as trained, not rounded as it is packed
    save_classifier(head, Classifier(backbone, new_head(48, 2, 0)), CLASSIFY)
    with pytest.raises(
        WeightsError, match=r"is not the one that is packed \(\d+ of \d+ entries differ\): .*--weights demo"
    ):
        pack_demo(run, out, about, [head])
    with torch.no_grad():
        backbone = on_packed(state, toy)
        linear = new_head(48, 2, 0)
        linear.weight += 1e6
    save_classifier(head, Classifier(backbone, linear), CLASSIFY)
    with pytest.raises(WeightsError, match="beyond ±65504"):
        pack_demo(run, out, about, [head])
    assert not out.exists()


@pytest.mark.parametrize("metadata", [None, {"radiodino": "no JSON"}, {"radiodino": "{}"}])
def test_a_bundled_head_without_its_document_is_damaged(run, out, head, toy, metadata):
    pack_demo(run, out, read_about(run / "about.json"), [head])
    file = out / "busi-classifier.safetensors"
    safetensors_torch.save_file({"weight": torch.ones(2, 48)}, file, metadata=metadata)
    record = json.loads((out / "demo.json").read_text())
    record["files"][file.name]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (out / "demo.json").write_text(json.dumps(record))
    with pytest.raises(WeightsError, match=r"cannot be read .*install radiodino again"):
        demonstration_classifier(toy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"licence": 3}, "wrong type"), ({"surprise": 1}, "unknown"), ({"measured": [{"what": "x"}]}, "missing")],
)
def test_an_about_that_does_not_fit(tmp_path, change, reason):
    (tmp_path / "about.json").write_text(json.dumps(ABOUT | change))
    with pytest.raises(InputError, match=f"{reason}.*must be a JSON object of licence, data"):
        read_about(tmp_path / "about.json")


def test_from_the_command_line(command, refused, run, out, head):
    ended = command(main, run, "--out", out, "--head", head)
    assert ended.status == 0
    assert demonstration().files["busi-classifier.safetensors"].sha256 in ended.out
    assert "1,600 samples in 100 steps" in ended.out
    assert "absent.pth" in refused(main, run, "--out", out, "--head", "absent.pth")
    (run / "about.json").unlink()
    assert "about.json" in refused(main, run, "--out", out)
    assert "--out" in refused(main, run)


# The real ones


@pytest.fixture
def shipped():
    folder = demonstration_folder()
    if not (folder / "tiny.safetensors").is_file():
        pytest.skip("this checkout holds no demonstration weights yet (export/demo/tiny.safetensors)")
    return folder


def test_what_is_shipped_is_whole_small_and_explained(shipped):
    record = demonstration()
    assert (record.variant, record.backbone) == ("tiny", "tiny.safetensors")
    for name in record.files:
        assert bundled_file(name).is_file()
    assert {path.name for path in shipped.iterdir()} == {*record.files, "demo.json", CARD}
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= LIMIT
    card = (shipped / CARD).read_text(encoding="utf-8")
    assert card == demo_card(record)
    assert "not for clinical use" in card.splitlines()[0]
    assert record.measured
    assert record.data
    assert record.licence
    assert all(not path.startswith("/") for command in record.commands for path in command.split())


def test_what_is_shipped_exports_and_says_what_it_is(shipped, command, here):
    assert command(export_main, "--variant", "tiny", "--fp16", "--weights", "demo").status == 0
    assert [path.name for path in here.iterdir()] == ["radiodino-tiny-demo-fp16.onnx"]
    found = json.loads(command(run_main, "info", here / "radiodino-tiny-demo-fp16.onnx").out)
    assert found["weights"]["kind"] == "demo"
    assert found["weights"]["sha256"] == demonstration().files["tiny.safetensors"].sha256
    assert found["notice"] == NOTICES["demo"]
    assert found["verification"]["passed"]
