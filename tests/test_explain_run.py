"""``radiodino-train explain``: from weights and images to pictures, JSON and table."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import torch

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import VARIANTS
from radiodino.train.backbone import build_backbone
from radiodino.train.classify.checkpoint import load_classifier, save_classifier
from radiodino.train.classify.classifier import Classifier
from radiodino.train.cli import main
from radiodino.train.data.mask_pairs import open_pairs
from radiodino.train.explain.draw_grad_cam import open_classifier
from radiodino.train.explain.grad_cam import grad_cam
from radiodino.train.explain.network_input import network_input
from radiodino.train.explain.run import explain
from radiodino.train.explain.settings import Settings
from radiodino.train.explain.work import Work

CLASSES = ["benign", "malignant"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The file of a classifier as finetune writes it, with weights that were never trained."""
    torch.manual_seed(0)
    variant = VARIANTS["tiny"]
    module = Classifier(build_backbone(variant, 32), torch.nn.Linear(variant.embedding_size, 2))
    document = {
        "task": "classify",
        "variant": "tiny",
        "image_size": 32,
        "classes": CLASSES,
        "training_set": {"name": "some.zip"},
    }
    path = tmp_path_factory.mktemp("classifier") / "classifier.pth"
    save_classifier(path, module, document)
    return path


@pytest.fixture
def data(here):
    """Six images of three classes, below `d`."""
    for number in range(6):
        folder = here / "d" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return "d"


@pytest.fixture
def pairs(here):
    """Four images with masks, one of them empty, below `m`."""
    for folder in ("images", "masks"):
        (here / "m" / folder).mkdir(parents=True)
    for number, name in enumerate(("benign_1", "benign_2", "malignant_1", "normal_1")):
        pixels = np.random.default_rng(10 + number).integers(0, 256, (40, 40), np.uint8)
        Image.fromarray(pixels).save(here / "m" / "images" / f"{name}.png")
        mask = np.zeros((40, 40), np.uint8)
        if number < 3:
            mask[8 : 20 + number, 10:30] = 255
        Image.fromarray(mask).save(here / "m" / "masks" / f"{name}.png")
    return "m"


def outcome(folder):
    return json.loads((folder / "explain.json").read_text(encoding="utf-8"))


def test_attention_and_colours_of_a_data_set(command, data, here):
    ended = command(
        main, "explain", "--data", data, "--weights", "random", "--image-size", 32, "--count", 4, "--out", "out",
        "--attention-mass", 0.6, "--accelerator", "cpu",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert "device   cpu" in ended.out
    assert "WARNING  random weights" in ended.err
    assert {path.name for path in (here / "out").iterdir()} == {
        "attention.png", "pca.png", "explain.json", "explain.md",
    }  # fmt: skip
    found = outcome(here / "out")
    assert found["task"] == "explain"
    assert found["settings"]["weights"]["kind"] == "random"
    assert found["settings"]["weights"]["notice"].startswith("random weights")
    assert found["settings"]["image_size"] == 32
    attention = found["results"]["attention"]
    assert (attention["file"], attention["image_size"], attention["heads"]) == ("attention.png", 32, 3)
    names = ["d/a/0.png", "d/a/3.png", "d/b/1.png", "d/c/2.png"]  # all classes in turn
    assert [image["name"] for image in attention["images"]] == names
    sums = np.array([image["attention_to_patches"] for image in attention["images"]])
    assert sums.shape == (4, 3)
    assert ((sums > 0.5) & (sums < 1)).all()  # untrained: nearly 4 of 5 tokens
    assert len(found["results"]["pca"]["explained"]) == 3
    assert "attention.png" in (here / "out" / "explain.md").read_text(encoding="utf-8")
    for name in ("attention", "pca"):
        with Image.open(here / "out" / f"{name}.png") as image:
            assert image.width > 500


def test_grad_cam_and_its_dice(command, classifier, pairs, here):
    ended = command(
        main, "explain", "--masks", pairs, "--weights", classifier, "--pictures", "gradcam,pca", "--image-size", 32,
        "--count", 2, "--batch-size", 3, "--out", "out", "--threshold", 0.5,
    )  # fmt: skip
    assert ended.status == 0, ended.err
    found = outcome(here / "out")
    cam = found["results"]["gradcam"]
    assert cam["threshold"] == 0.5
    assert cam["classifier"]["training_set"] == {"name": "some.zip"}
    assert [image["label"] for image in cam["images"]] == ["benign", "benign", "malignant", "normal"]

    module, _ = load_classifier(classifier)
    decoded = open_pairs([pairs], 32)
    maps = grad_cam(module, network_input(np.asarray(decoded.pixels)))
    for index, image in enumerate(cam["images"]):
        marked = maps.maps[index].numpy() >= 0.5 * maps.maps[index].max().item()
        truth = decoded.masks[index] > 0
        assert image["dice"] == pytest.approx(2 * (marked & truth).sum() / (marked.sum() + truth.sum()))
        assert image["class"] == CLASSES[maps.classes[index]]
        assert image["probability"] == pytest.approx(maps.probabilities[index].max().item(), rel=1e-4)
        assert image["lesion"] == (index < 3)
    assert cam["images"][3]["dice"] == 0
    lesions = [image["dice"] for image in cam["images"][:3]]
    assert cam["overlap"]["lesions"] == {"images": 3, "dice": pytest.approx(np.mean(lesions)), "iou": pytest.approx(
        np.mean([image["iou"] for image in cam["images"][:3]]))}  # fmt: skip
    assert cam["overlap"]["all"]["dice"] == pytest.approx(sum(lesions) / 4)
    assert cam["overlap"]["by_class"]["benign"]["images"] == 2
    assert f"{100 * np.mean(lesions):.1f}" in ended.out
    assert "Grad-CAM at 50 % of each map's maximum" in (here / "out" / "explain.md").read_text(encoding="utf-8")
    assert len(found["results"]["pca"]["images"]) == 2  # those of the masks, where no data is named


def test_grad_cam_without_masks_and_of_one_class_at_another_size(command, classifier, data, here):
    ended = command(
        main, "explain", "--data", data, "--weights", classifier, "--pictures", "gradcam", "--target", "malignant",
        "--count", 3, "--image-size", 64, "--out", "out",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    cam = outcome(here / "out")["results"]["gradcam"]
    assert cam["image_size"] == 64
    assert [image["class"] for image in cam["images"]] == ["malignant"] * 3
    assert "overlap" not in cam
    assert "dice" not in cam["images"][0]
    assert "Dice" not in ended.out


def test_the_classifier_is_explained_at_its_own_size_unless_another_is_asked_for(classifier, here, tmp_path):
    settings = Settings(variant=VARIANTS["tiny"], weights=str(classifier), pictures=("gradcam",))
    opened = open_classifier(settings)
    assert opened.image_size == 32
    work = Work(settings, (), (), tmp_path, torch.device("cpu"), None, lambda _what: None)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(opened.at(work)(images), opened.module(images))


def test_the_map_of_a_data_set(command, data, here, monkeypatch):
    pytest.importorskip("umap")
    from radiodino.train.explain import draw

    seen = {}

    def laid_out(vectors, **options):
        seen.update(options, shape=vectors.shape)
        return vectors[:, :2].astype(np.float32)

    # UMAP itself is tested by itself: it takes long to compile
    monkeypatch.setattr(draw, "umap_coordinates", laid_out)
    for number in range(6, 14):
        Image.fromarray(np.full((20, 20), 9 * number, np.uint8)).save(f"d/a/{number}.png")
    ended = command(
        main, "explain", "--data", data, "--weights", "random", "--pictures", "umap", "--image-size", 32, "--out",
        "out", "--umap-neighbours", 5, "--umap-min-dist", 0.3, "--umap-metric", "euclidean", "--seed", 4,
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert seen == {"neighbours": 5, "min_dist": 0.3, "metric": "euclidean", "seed": 4, "shape": (14, 192)}
    found = outcome(here / "out")["results"]["umap"]
    assert found["classes"] == {"a": 10, "b": 2, "c": 2}
    rows = (here / "out" / "umap.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 15
    assert rows[1].startswith("d/a/0.png,a,")
    assert (here / "out" / "umap.png").is_file()


def test_any_variant_and_a_picture_asked_for_twice(toy, data, tmp_path):
    settings = Settings(variant=toy, weights="random", pictures=("pca", "pca"), image_size=32, count=2)
    done = explain(settings, [data], [], tmp_path / "deep" / "out")
    assert [path.name for path in done.files] == ["pca.png"]


def test_a_broken_image_is_named(command, data, here):
    (here / "d" / "a" / "0.png").write_bytes(b"broken")
    ended = command(
        main, "explain", "--data", data, "--weights", "random", "--image-size", 32, "--pictures", "pca", "--out", "out"
    )
    assert ended.status == 0
    assert "1 images were left out: d/a/0.png" in ended.err
    assert "d/a/0.png" in outcome(here / "out")["data"]["unreadable"]


def test_images_of_one_split(command, here):
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    np.savez(here / "s.npz", train_images=images[:4], train_labels=np.zeros(4, int), test_images=images[4:],
             test_labels=np.ones(2, int))  # fmt: skip
    ended = command(
        main, "explain", "--data", "s.npz", "--weights", "random", "--image-size", 32, "--pictures", "pca", "--split",
        "test", "--out", "out",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert [image["label"] for image in outcome(here / "out")["results"]["pca"]["images"]] == ["1", "1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "random"], "--data, or images with masks with --masks"),
        (["--weights", "random", "--data", "none"], "none"),
        (["--weights", "random", "--data", "d", "--pictures", "x,pca"], "attention, gradcam, pca, umap, found x, pca"),
        (["--weights", "random", "--data", "d", "--pictures", ","], "found none"),
        (["--weights", "random", "--data", "d", "--count", "0"], "at least 1, not 0"),
        (["--weights", "random", "--data", "d", "--batch-size", "0"], "at least 1, not 0"),
        (["--weights", "random", "--data", "d", "--image-size", "50"], "multiple of the patch"),
        (["--weights", "random", "--data", "d", "--image-size", "0"], "multiple of the patch"),
        (["--weights", "random", "--data", "d", "--variant", "huge"], "tiny, tiny-sp"),
        (["--weights", "random", "--data", "d", "--accelerator", "tpu"], "auto, cpu, cuda"),
        (["--weights", "random", "--data", "d", "--attention-mass", "2"], "DINO's own is 0.6"),
        (["--weights", "random", "--data", "d", "--threshold", "0"], "the paper's is 0.2"),
        (["--weights", "random", "--data", "d", "--pca-foreground", "up"], "all, high, low"),
        (["--weights", "random", "--data", "d", "--umap-metric", "up"], "cosine, euclidean"),
        (["--weights", "random", "--data", "d", "--seed", "-1"], "seed must lie"),
        (["--weights", "x.onnx", "--data", "d"], "the checkpoint that it was exported from"),
        (["--weights", "random", "--data", "d", "--pictures", "gradcam"], "classifier.pth of radiodino-train finetune"),
        (["--weights", "missing.pth", "--data", "d"], "missing.pth"),
        (["--weights", "random", "--data", "d", "--image-size", "32", "--pictures", "umap"], "at least 10 images"),
        (["--data", "d"], "--weights"),
    ],
)
def test_errors_are_one_sentence(refused, data, arguments, sentence):
    assert sentence in refused(main, "explain", "--out", "out", *arguments)


def test_a_classifier_that_does_not_fit_is_refused_before_anything_is_drawn(refused, classifier, data, here):
    common = ("explain", "--out", "out", "--data", data, "--image-size", 32, "--pictures", "attention,gradcam")
    assert "variant tiny, not small" in refused(main, *common, "--weights", classifier, "--variant", "small")
    assert "benign, malignant" in refused(main, *common, "--weights", classifier, "--target", "other")
    torch.save({"teacher": build_backbone(VARIANTS["tiny"], 32).state_dict()}, here / "run.pth")
    assert "no classifier" in refused(main, *common, "--weights", "run.pth")
    assert not list((here / "out").iterdir())


def test_a_folder_that_cannot_be_written_is_refused(refused, data, here):
    (here / "file").touch()
    said = refused(main, "explain", "--out", "file", "--data", data, "--weights", "random", "--image-size", 32)
    assert "cannot make the folder file" in said


def test_an_interrupt_ends_cleanly(command, data, monkeypatch):
    from radiodino.train.explain import run

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "explain", interrupted)
    ended = command(main, "explain", "--out", "out", "--data", data, "--weights", "random")
    assert ended.status == 130
    assert ended.err.splitlines()[-1].startswith("error: interrupted")


def test_settings_default_to_the_papers_numbers():
    settings = Settings(variant=VARIANTS["tiny"], weights="random")
    assert (settings.fine_size, settings.embedding_size, settings.threshold) == (448, 224, 0.2)
    assert Settings(variant=VARIANTS["dinov2-small"], weights="random").fine_size == 448  # also of patch 14
    with pytest.raises(InputError):
        Settings(variant=VARIANTS["tiny"], weights="random", pca_threshold=math.inf)


def test_help_names_the_sections_of_the_paper(command):
    said = command(main, "explain", "--help").out
    for part in ("6.1", "6.2", "6.3", "7.4", "pixels", "--umap-neighbours"):
        assert part in said


def test_real_ultrasound_images_with_masks(command, data_dir, here):
    ended = command(
        main, "explain", "--masks", data_dir / "busi_seg.zip", "--weights", "random", "--image-size", 32, "--count", 3,
        "--out", "out", "--pictures", "pca",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    labels = [image["label"] for image in outcome(here / "out")["results"]["pca"]["images"]]
    assert labels == ["benign", "malignant", "normal"]
