"""The whole path with the toy: pretrain, knn, finetune, segment, export, report; the runtime agrees with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("sklearn")
pytest.importorskip("onnxscript")

import torch

from radiodino.export.cli import main as export
from radiodino.runtime import Model
from radiodino.runtime.variants import VARIANTS
from radiodino.train.classify.checkpoint import load_classifier
from radiodino.train.cli import main as train
from radiodino.train.segment.segmenter import load_segmenter
from radiodino.train.weights.load import load_weights

SIZE = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the model card


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Noise with a bright disc or a dark bar in it, in the layout of BUSI: 16 images of each class, with masks."""
    folder = tmp_path_factory.mktemp("scans")
    random = np.random.default_rng(0)
    for label, shade in (("disc", 230), ("bar", 20)):
        (folder / label).mkdir()
        for number in range(1, 17):
            image = Image.fromarray(random.integers(90, 150, (SIZE, SIZE), np.uint8))
            mask = Image.new("L", image.size)
            left, top = random.integers(4, 30, 2).tolist()
            box = (left, top, left + 26, top + (26 if label == "disc" else 10))
            for canvas, value in ((image, shade), (mask, 255)):
                draw = ImageDraw.Draw(canvas)
                (draw.ellipse if label == "disc" else draw.rectangle)(box, fill=value)
            image.save(folder / label / f"{label} ({number}).png")
            mask.save(folder / label / f"{label} ({number})_mask.png")
    return folder


@pytest.mark.usefixtures("traced_once")
def test_from_scans_to_the_runtime(scans, tmp_path, command, toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)

    def run(main, *arguments):
        ended = command(main, *arguments)
        assert ended.status == 0, ended.err
        return ended

    data = ("--data", scans, "--cache", tmp_path / "cache")
    run(
        train, "pretrain", *data, "--variant", "toy", "--out", tmp_path / "run", "--epochs", 4, "--batch-size", 16,
        "--set", "crops={global_size: 32, local_size: 16, local_count: 2}", "--set", "cache_size=64",
        "--set", "head={out_dim: 64, hidden_dim: 64, bottleneck_dim: 32}", "--set", "optimiser.warmup_epochs=1",
        "--accelerator", "cpu",
    )  # fmt: skip
    weights = ("--weights", tmp_path / "run", "--variant", "toy", "--accelerator", "cpu")

    run(train, "knn", *data, *weights, "--k", "1,3", "--image-size", SIZE, "--out", tmp_path / "knn")
    neighbours = json.loads((tmp_path / "knn" / "knn.json").read_text(encoding="utf-8"))
    assert neighbours["task"] == "knn"

    settings = ("--set", f"image_size={SIZE}", "--set", "batch_size=8", "--set", "epochs=8", "--set", "warmup_epochs=1")
    run(train, "finetune", *data, *weights, *settings, "--folds", 2, "--out", tmp_path / "classes")
    classifier, classes = load_classifier(tmp_path / "classes" / "classifier.pth")
    assert classes["classes"] == ["bar", "disc"]

    run(
        train, "segment", *data, *weights, "--head", "lite", "--image-size", SIZE, "--epochs", 2, "--batch-size", 8,
        "--out", tmp_path / "lesions",
    )  # fmt: skip
    segmenter, _ = load_segmenter(tmp_path / "lesions" / "segmenter-lite.pth")

    # What was trained goes on as a backbone: pretrained, fine-tuned, and that of the segmenter, which did not learn.
    images = [Image.open(path).convert("RGB") for path in sorted((scans / "disc").glob("*[0-9]).png"))[:3]]
    pixels = torch.from_numpy(np.stack([np.asarray(image, np.float32) / 255 for image in images])).permute(0, 3, 1, 2)
    batch = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    pretrained, _ = load_weights(toy, str(tmp_path / "run"), image_size=SIZE)
    with torch.inference_mode():
        assert classifier(batch).shape == (3, 2)
        assert segmenter(batch).shape == (3, SIZE, SIZE)
        expected = {
            "run": pretrained(batch).numpy(),
            "classes/classifier.pth": classifier.backbone(batch).numpy(),
            "lesions/segmenter-lite.pth": pretrained(batch).numpy(),
        }
    for checkpoint, embeddings in expected.items():
        file = tmp_path / f"{checkpoint.partition('/')[0]}.onnx"
        run(
            export, "--variant", "toy", "--fp32", "--weights", tmp_path / checkpoint, "--image-size", SIZE,
            "--output", file,
        )  # fmt: skip
        found = Model.load(file).embed(images)
        np.testing.assert_allclose(found, embeddings, rtol=0, atol=1e-4 * np.abs(embeddings).max())

    folders = [tmp_path / name for name in ("run", "knn", "classes", "lesions")]
    run(train, "report", *folders, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{100 * neighbours['results']['rows'][0]['accuracy']:.1f}" in page
