"""Makes tests/data/toy-fp32.onnx and toy-fp16.onnx: a two-block ViT with random weights, for tests without PyTorch.

Run from the repository's root:  python tests/data/make_toy.py
"""

from pathlib import Path

from radiodino.export.pipeline import export_model
from radiodino.export.settings import ExportSettings
from radiodino.runtime.variants import Variant

TOY = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)

if __name__ == "__main__":
    for precision in ("fp32", "fp16"):
        exported = export_model(
            ExportSettings(
                variant=TOY,
                weights="random",
                precision=precision,
                image_size=64,
                outputs=("patch_tokens", "attention"),
                output=Path(__file__).parent / f"toy-{precision}.onnx",
                force=True,
            )
        )
        print(exported.path.name, exported.size, exported.sha256)  # noqa: T201
