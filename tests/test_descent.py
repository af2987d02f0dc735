"""What must be said of weights is said of whatever is trained from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("torchvision")
pytest.importorskip("yaml")
pytest.importorskip("lightning_fabric")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("onnx")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.export.original import load_original  # noqa: E402
from radiodino.export.settings import ExportSettings  # noqa: E402
from radiodino.runtime.errors import WeightsError  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.notice import NOTICES  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.classify.checkpoint import save_classifier  # noqa: E402
from radiodino.train.classify.classifier import Classifier, new_head  # noqa: E402
from radiodino.train.cli import main as train  # noqa: E402
from radiodino.train.features.announce import announce  # noqa: E402
from radiodino.train.features.open import SourceOptions, open_source  # noqa: E402
from radiodino.train.report.models import from_source, from_weights  # noqa: E402
from radiodino.train.report.needed import needed  # noqa: E402
from radiodino.train.report.provenance import Source, Weights  # noqa: E402
from radiodino.train.segment.heads import build_head  # noqa: E402
from radiodino.train.segment.segmenter import Segmenter, save_segmenter  # noqa: E402
from radiodino.train.weights import demonstration as module  # noqa: E402
from radiodino.train.weights.load import WeightsSource, load_weights  # noqa: E402

SIZE = 64
DEMO, RANDOM = NOTICES["demo"], NOTICES["random"]
RECORD = {
    "schema": 1, "variant": "toy", "backbone": "toy.safetensors", "licence": "CC BY-SA 4.0", "machine": "2 cores",
    "seed": 0, "steps": 10, "samples": 80, "recipe": {}, "versions": {}, "data": [], "commands": [], "measured": [],
    "remarks": [], "loss": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture(scope="module")
def backbone(toy):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_backbone(toy, SIZE).eval()


@pytest.fixture
def demo(backbone, tmp_path, monkeypatch):
    """Demonstration weights of the toy, taken for those of this installation; their file."""
    folder = tmp_path / "demo"
    folder.mkdir()
    file = folder / "toy.safetensors"
    safetensors_torch.save_file(backbone.state_dict(), file, {"radiodino": json.dumps({"notice": DEMO})})
    data = file.read_bytes()
    files = {file.name: {"holds": "backbone", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
    (folder / "demo.json").write_text(json.dumps({**RECORD, "files": files}))
    monkeypatch.setattr(module, "demonstration_folder", lambda: folder)
    return file


@pytest.fixture
def scans(tmp_path):
    """Dark and bright discs on noise in the layout of BUSI, with masks."""
    random = np.random.default_rng(0)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    for label, shade in (("dark", 0), ("bright", 250)):
        (tmp_path / "scans" / label).mkdir(parents=True)
        for number in range(8):
            row, column = random.integers(16, 48, 2)
            disc = (yy - row) ** 2 + (xx - column) ** 2 < 100
            pixels = np.where(disc, shade, random.integers(90, 150, (SIZE, SIZE))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "scans" / label / f"{label} ({number}).png")
            mask = Image.fromarray(disc.astype(np.uint8) * np.uint8(255))
            mask.save(tmp_path / "scans" / label / f"{label} ({number})_mask.png")
    return tmp_path / "scans"


def document_of(source: WeightsSource, **more):
    return {
        "variant": "toy",
        "image_size": SIZE,
        "preprocessing": json.loads(json.dumps(asdict(Preprocessing(resize=(SIZE, SIZE))))),
        "training_set": {"name": "busi.zip"},
        "weights": asdict(source),
        **more,
    }


def classifier_from(source: WeightsSource, backbone, folder: Path, *, frozen: bool) -> Path:
    """A classifier as finetune writes it of weights that come from `source`."""
    more = {"task": "classify", "classes": ["a", "b"], "temperature": 1.0, "thresholds": None, "metrics": {}}
    document = document_of(source, **more, recipe={"freeze_backbone": frozen})
    save_classifier(folder / "classifier.pth", Classifier(backbone, new_head(48, 2, 0)), document)
    return folder / "classifier.pth"


def segmenter_from(source: WeightsSource, backbone, folder: Path) -> Path:
    """Likewise a segmenter."""
    head = build_head("lite", 48, 16, channels=(8, 6, 4), blocks=(1, 1, 1), detail=2)
    more = {"task": "segment", "schema": 1, "classes": ["lesion"], "threshold": 0.5, "test_metrics": {}}
    document = document_of(source, **more, head={"kind": "lite", **head.settings})
    save_segmenter(folder / "segmenter-lite.pth", Segmenter(backbone, head), document)
    return folder / "segmenter-lite.pth"


def exported(toy, task: str, *weights: Path):
    return load_original(ExportSettings(toy, tuple(map(str, weights)), task=task, image_size=SIZE))


# Through whole trainings


def test_what_is_trained_from_the_demonstration_weights_says_so_whatever_stands_between(
    demo, scans, command, toy, tmp_path
):
    common = (
        "--data", scans, "--cache", tmp_path / "cache", "--variant", "toy", "--accelerator", "cpu", "--fractions",
        "0.5,0.25,0.25",
    )  # fmt: skip
    settings = ("--set", f"image_size={SIZE}", "--set", "batch_size=8", "--set", "epochs=1", "--set", "warmup_epochs=0")
    classes, lesions = tmp_path / "classes", tmp_path / "lesions"
    ended = command(train, "finetune", *common, *settings, "--weights", "demo", "--folds", 1, "--out", classes)
    assert ended.status == 0, ended.err
    assert f"WARNING  {DEMO}" in ended.err

    ended = command(
        train, "segment", *common, "--weights", classes, "--image-size", SIZE, "--epochs", 1, "--batch-size", 8,
        "--set", "views.count=1", "--set", "lite.warmup_epochs=0", "--pictures", 0, "--out", lesions,
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert f"WARNING  {DEMO}" in ended.out
    weights = json.loads((lesions / "segment.json").read_text(encoding="utf-8"))["settings"]["weights"]
    assert (weights["kind"], weights["name"], weights["notice"]) == ("file", "classifier.pth", DEMO)

    classifier, segmenter = classes / "classifier.pth", lesions / "segmenter-lite.pth"
    assert exported(toy, "segment", segmenter).notice == DEMO
    for checkpoint in (classifier, segmenter):
        assert exported(toy, "embed", checkpoint).notice == DEMO


# Step by step


def test_a_notice_goes_through_any_number_of_trainings(demo, backbone, toy, tmp_path):
    weights = "demo"
    for number, frozen in enumerate((False, True, False)):
        _, source = load_weights(toy, weights, image_size=SIZE)
        assert source.notice == DEMO
        (tmp_path / str(number)).mkdir()
        weights = str(classifier_from(source, backbone, tmp_path / str(number), frozen=frozen))
        assert exported(toy, "classify", Path(weights)).notice == DEMO
    _, source = load_weights(toy, weights, image_size=SIZE)
    assert (source.kind, source.notice) == ("file", DEMO)
    segmenter = segmenter_from(source, backbone, tmp_path)
    for task, files in (("segment", [segmenter]), ("classify+segment", [Path(weights), segmenter])):
        original = exported(toy, task, *files)
        assert (original.weights.kind, original.notice) == ("file", DEMO)


def test_what_evaluates_them_says_it_too(demo, backbone, toy, tmp_path, capsys):
    _, source = load_weights(toy, "demo", image_size=SIZE)
    classifier = classifier_from(source, backbone, tmp_path, frozen=False)
    opened = open_source(str(classifier), SourceOptions(variant=toy, image_size=SIZE, accelerator="cpu"))
    announce(opened)
    assert f"WARNING  {DEMO}" in capsys.readouterr().err
    told = opened.describe()
    assert from_source(needed(Source, told, tmp_path, "knn"), "toy").notice == DEMO
    _, descended = load_weights(toy, str(classifier), image_size=SIZE)
    assert from_weights(needed(Weights, asdict(descended), tmp_path, "explain"), "toy").notice == DEMO


def test_heads_that_were_trained_before_documents_had_notices(demo, backbone, toy, tmp_path):
    _, source = load_weights(toy, "demo", image_size=SIZE)
    file = classifier_from(source, backbone, tmp_path, frozen=False)
    content = torch.load(file, weights_only=True)
    del content["document"]["weights"]["notice"]
    torch.save(content, file)
    assert load_weights(toy, str(file), image_size=SIZE)[1].notice == DEMO
    assert exported(toy, "classify", file).notice == DEMO


def test_random_weights_are_such_until_they_learn(backbone, toy, tmp_path):
    _, source = load_weights(toy, "random", image_size=SIZE)
    for frozen, notice in ((True, RANDOM), (False, None)):
        file = classifier_from(source, backbone, tmp_path, frozen=frozen)
        _, descended = load_weights(toy, str(file), image_size=SIZE)
        assert (descended.kind, descended.notice) == ("file", notice)
        segmenter = segmenter_from(descended, backbone, tmp_path)
        assert exported(toy, "segment", segmenter).notice == notice
    _, source = load_weights(toy, str(segmenter_from(source, backbone, tmp_path)), image_size=SIZE)
    assert source.notice == RANDOM
    file = classifier_from(source, backbone, tmp_path, frozen=False)
    assert load_weights(toy, str(file), image_size=SIZE)[1].notice is None


def test_of_other_checkpoints_nothing_is_said(backbone, toy, tmp_path):
    source = WeightsSource("published", "hf_hub:toy", "ab" * 32, "MIT", "without head")
    assert source.notice is None
    for frozen in (True, False):
        file = classifier_from(source, backbone, tmp_path, frozen=frozen)
        assert load_weights(toy, str(file), image_size=SIZE)[1].notice is None
    for document in (None, 3, {}, {"weights": None}, {"weights": {}}, {"weights": {"kind": ["demo"]}}):
        torch.save({"model": backbone.state_dict(), "document": document}, tmp_path / "other.pth")
        assert load_weights(toy, str(tmp_path / "other.pth"), image_size=SIZE)[1].notice is None


# The bundled file, named by its path


def test_the_bundled_file_says_what_it_is_wherever_it_lies(demo, toy, tmp_path):
    copied = tmp_path / "mine.safetensors"
    copied.write_bytes(demo.read_bytes())
    _, source = load_weights(toy, str(copied), image_size=SIZE)
    assert (source.kind, source.name, source.notice) == ("file", "mine.safetensors", DEMO)
    assert exported(toy, "embed", copied).notice == DEMO


@pytest.mark.parametrize("told", ["no JSON", "[]"])
def test_damaged_metadata_are_refused(backbone, toy, tmp_path, told):
    safetensors_torch.save_file(backbone.state_dict(), tmp_path / "a.safetensors", {"radiodino": told})
    with pytest.raises(WeightsError, match=r"the metadata of a\.safetensors is damaged"):
        load_weights(toy, str(tmp_path / "a.safetensors"), image_size=SIZE)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"radiodino": "{}"}])
def test_other_safetensors_files_say_nothing(backbone, toy, tmp_path, metadata):
    safetensors_torch.save_file(backbone.state_dict(), tmp_path / "a.safetensors", metadata)
    assert load_weights(toy, str(tmp_path / "a.safetensors"), image_size=SIZE)[1].notice is None
