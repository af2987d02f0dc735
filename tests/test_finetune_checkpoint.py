from __future__ import annotations

import pytest

pytest.importorskip("timm")
pytest.importorskip("yaml")
torch = pytest.importorskip("torch")

from radiodino.runtime.errors import OutputError, WeightsError  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.classify.checkpoint import NAME, load_classifier, save_classifier  # noqa: E402
from radiodino.train.classify.classifier import Classifier, new_head  # noqa: E402
from radiodino.train.weights.load import load_weights  # noqa: E402

DOCUMENT = {"task": "classify", "variant": "toy", "image_size": 32, "classes": ["a", "b", "c"], "temperature": 1.5}


@pytest.fixture(autouse=True)
def _known(monkeypatch, toy):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture
def classifier(toy) -> Classifier:
    return Classifier(build_backbone(toy, 32), new_head(48, 3, 0)).eval()


@pytest.fixture
def saved(classifier, tmp_path):
    save_classifier(tmp_path / NAME, classifier, DOCUMENT)
    return tmp_path / NAME


def test_a_classifier_comes_back_as_it_was(classifier, saved):
    images = torch.randn(2, 3, 32, 32)
    for path in (saved, str(saved), saved.parent):
        found, document = load_classifier(path)
        assert document == DOCUMENT
        assert not any(module.training for module in found.modules())
        assert torch.equal(found(images), classifier(images))
        assert torch.equal(found.head(found.backbone(images)), classifier(images))


def test_pytorch_reads_it_without_running_code(classifier, saved):
    raw = torch.load(saved, weights_only=True)
    assert raw["document"] == DOCUMENT
    assert set(raw["model"]) == set(classifier.state_dict())
    assert {"backbone.cls_token", "head.weight", "head.bias"} <= set(raw["model"])


@pytest.mark.parametrize("size", [32, 64])
def test_it_is_a_backbone_for_every_other_command(classifier, saved, toy, size):
    for path in (saved, saved.parent):
        backbone, source = load_weights(toy, str(path), image_size=size)
        assert source.name == NAME
        assert source.detail.startswith("model, prefix backbone.; without head")
        for name, value in backbone.state_dict().items():
            if name != "pos_embed" or size == 32:
                assert torch.equal(value, classifier.backbone.state_dict()[name]), name


@pytest.mark.parametrize(
    "raw",
    [
        {"model": {}},
        {"document": DOCUMENT},
        {"model": {}, "document": {**DOCUMENT, "task": "segment"}},
        {"model": 3, "document": DOCUMENT},
        {"teacher": {}},
    ],
)
def test_what_is_no_classifier_is_refused(raw, tmp_path):
    torch.save(raw, tmp_path / NAME)
    with pytest.raises(WeightsError, match=r"classifier\.pth holds no classifier, expected one that radiodino-train"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"variant": "huge"}, "says variant 'huge'"),
        ({"variant": ["toy"]}, r"says variant \['toy'\]"),
        ({"image_size": "32"}, "image size '32'"),
        ({"classes": ["a"]}, r"classes \['a'\]"),
        ({"classes": 3}, "classes 3"),
        ({"classes": [0, 1, 2]}, r"classes \[0, 1, 2\], expected .* the names of at least two classes"),
        ({"classes": ["a", None, "c"]}, r"classes \['a', None, 'c'\]"),
        ({"classes": ["a", "b"]}, r"'head\.bias' has the shape \(3,\), expected \(2,\)"),
        ({"image_size": 64}, r"'backbone\.pos_embed' has the shape \(1, 5, 48\), expected \(1, 17, 48\)"),
        ({"variant": "tiny"}, "not 'tiny'"),
        ({"image_size": 33}, "not a multiple of the patch"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(classifier, tmp_path, changes, reason):
    save_classifier(tmp_path / NAME, classifier, {**DOCUMENT, **changes})
    with pytest.raises(WeightsError, match=reason):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: model.pop("head.weight"), r"'head\.weight' has the shape None, expected \(3, 48\)"),
        (lambda model: model.update({"more": torch.zeros(2)}), r"'more' has the shape \(2,\), expected None"),
        (lambda model: model.pop("backbone.norm.bias"), r"lacks 1 of the 30 entries of 'toy' \(norm\.bias\)"),
        (lambda model: model["head.bias"].fill_(torch.nan), r"3 of the 3 values of 'head\.bias' are not finite"),
        (lambda model: model.update({"head.bias": [1, 2, 3]}), r"'head\.bias' is no tensor"),
        (lambda model: model.update({"head.bias": torch.zeros(3).half()}), r"'head\.bias' is stored as float16"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, change, reason):
    raw = torch.load(saved, weights_only=True)
    change(raw["model"])
    torch.save(raw, saved)
    with pytest.raises(WeightsError, match=reason):
        load_classifier(saved)


def test_a_folder_that_is_not_there_is_named(classifier, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save_classifier(tmp_path / "none" / NAME, classifier, DOCUMENT)
    with pytest.raises(WeightsError, match="there is no file or folder"):
        load_classifier(tmp_path / "none")
