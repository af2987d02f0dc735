"""Makes toy-fp32.onnx, toy-fp16.onnx and toy-tasks.onnx in tests/data, for tests without PyTorch.

A two-block ViT with random weights, 64 px; toy-tasks.onnx has random heads too: three classes, and a small
lite head.

Run from the repository's root:  python tests/data/make_toy.py [NAME.onnx …]  (by default all)

toy-fp32.onnx and toy-fp16.onnx are kept as an earlier version wrote them (schema 1), which must stay readable: do not
make them anew.
"""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from radiodino.export.pipeline import export_model
from radiodino.export.settings import ExportSettings
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.variants import VARIANTS, Variant
from radiodino.train.classify.checkpoint import save_classifier
from radiodino.train.classify.classifier import Classifier, new_head
from radiodino.train.segment.heads import build_head
from radiodino.train.segment.segmenter import Segmenter, save_segmenter
from radiodino.train.weights.load import load_weights

TOY = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)
SIZE = 64
CLASSES = ["benign", "malignant", "normal"]
HERE = Path(__file__).parent


def write_heads(folder: Path) -> tuple[str, str]:
    """Checkpoints of a classifier and of a segmenter with random heads, as the trainings write them."""
    backbone, source = load_weights(TOY, "random", image_size=SIZE)
    preprocessing = json.loads(json.dumps(asdict(Preprocessing(resize=(SIZE, SIZE)))))
    common = {
        "variant": TOY.name,
        "image_size": SIZE,
        "preprocessing": preprocessing,
        "training_set": {"name": "none: random heads"},
        "weights": asdict(source),
        "seed": 0,
    }
    head = new_head(TOY.embedding_size, len(CLASSES), 0)
    with torch.no_grad():
        head.weight *= 40  # so that images differ in class
    save_classifier(
        folder / "classifier.pth",
        Classifier(backbone, head),
        {
            **common,
            "task": "classify",
            "classes": CLASSES,
            "temperature": 1.5,
            "thresholds": None,
            "metrics": {"accuracy": 0.333},
            "recipe": {"freeze_backbone": True},
        },
    )
    segment_head = build_head(
        "lite", TOY.embedding_size, TOY.patch, seed=0, channels=(24, 16, 8), blocks=(1, 1, 1), detail=4
    )
    with torch.no_grad():
        segment_head.leave.weight *= 40  # so that masks are neither empty nor full
        segment_head.leave.bias += 0.5
    save_segmenter(
        folder / "segmenter-lite.pth",
        Segmenter(backbone, segment_head),
        {
            **common,
            "task": "segment",
            "schema": 1,
            "patch": TOY.patch,
            "head": {"kind": "lite", **segment_head.settings},
            "classes": ["lesion"],
            "threshold": 0.5,
            "test_metrics": {"all": {"dice": 0.1}},
        },
    )
    return str(folder / "classifier.pth"), str(folder / "segmenter-lite.pth")


def main(names: list[str]) -> None:
    VARIANTS["toy"] = TOY
    with tempfile.TemporaryDirectory() as folder:
        tokens = {"weights": "random", "image_size": SIZE, "outputs": ("patch_tokens", "attention")}
        heads = {"weights": write_heads(Path(folder)), "task": "classify+segment", "outputs": ("attention", "cam")}
        made = {
            "toy-fp32.onnx": {"precision": "fp32", **tokens},
            "toy-fp16.onnx": {"precision": "fp16", **tokens},
            "toy-tasks.onnx": {"precision": "fp32", **heads},
        }
        for name in names or made:
            exported = export_model(ExportSettings(variant=TOY, output=HERE / name, force=True, **made[name]))
            print(name, exported.size, exported.sha256)  # noqa: T201
            for found in exported.comparisons:
                print(found)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
