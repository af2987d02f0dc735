"""Cold start: from the start of a process to the first embedding of an image on disk, with its parts.

    python -m radiodino.benchmarks.cold_start --rounds 9

Three ways to the same embedding, each in fresh processes, in interleaved rounds: this package's runtime on ONNX
Runtime, on OpenVINO (its compiled model cached, as from the second start on), and the model card's own snippet (timm
and torchvision) with the weights loaded from a local file. Printed: medians of wall time with its parts, peak memory,
and the ratio to the snippet, all of this run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.extras import require
from radiodino.runtime.variants import get_variant

RUNTIME = """
import sys, time
start, model_file, image, backend, threads = float(sys.argv[1]), *sys.argv[2:]
marks = [("interpreter", time.monotonic())]
from radiodino.runtime import Model
marks.append(("import", time.monotonic()))
model = Model.load(model_file, backend=backend, threads=int(threads))
marks.append(("load", time.monotonic()))
embedding = model.embed(image)
marks.append(("first embedding", time.monotonic()))
"""

SNIPPET = """
import sys, time
start, weights, image, architecture, threads = float(sys.argv[1]), *sys.argv[2:]
marks = [("interpreter", time.monotonic())]
from PIL import Image
from torchvision import transforms
import timm, torch
marks.append(("import", time.monotonic()))
torch.set_num_threads(int(threads))
model = timm.create_model(architecture, pretrained=False, num_classes=0, checkpoint_path=weights).eval()
marks.append(("load", time.monotonic()))
transform = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
with torch.no_grad():
    embedding = model(transform(Image.open(image).convert("RGB")).unsqueeze(0)).numpy()
marks.append(("first embedding", time.monotonic()))
"""

END = """
import json, re
from pathlib import Path
# Not getrusage: its maximum includes the parent's memory at the time of the fork.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
parts, before = {}, start
for name, moment in marks:
    parts[name], before = moment - before, moment
print(json.dumps({"parts": parts, "total": before - start, "peak_mib": peak, "embedding": embedding[0].tolist()}))
"""

_PARTS = ("interpreter", "import", "load", "first embedding")


def main(
    rounds: Annotated[int, typer.Option(help="Processes of each kind.")] = 9,
    threads: Annotated[int, typer.Option(help="CPU threads of each engine.")] = 2,
    fp16: Annotated[bool, typer.Option("--fp16/--fp32", help="Precision of the exported file.")] = True,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the raw samples as JSON.")] = None,
) -> None:
    """Measure the cold start of tiny (random weights) with each engine beside torch and timm."""
    require("dev", "torch", "timm", "torchvision", "onnx", "safetensors", "openvino", "onnxruntime")
    import numpy as np
    import safetensors.torch
    from PIL import Image

    from radiodino.export.pipeline import export_model
    from radiodino.export.settings import ExportSettings
    from radiodino.train.weights.load import load_weights

    with tempfile.TemporaryDirectory() as folder:
        os.environ["RADIODINO_HOME"] = f"{folder}/home"
        variant = get_variant("tiny")
        backbone, _ = load_weights(variant, "random")
        safetensors.torch.save_file(backbone.state_dict(), f"{folder}/weights.safetensors")
        settings = ExportSettings(
            variant, weights="random", precision="fp16" if fp16 else "fp32", output=Path(folder) / "tiny.onnx"
        )
        exported = export_model(settings)
        image = f"{folder}/image.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)).save(image)
        commands = {
            "runtime, onnxruntime": [RUNTIME, str(exported.path), image, "onnxruntime", str(threads)],
            "runtime, openvino": [RUNTIME, str(exported.path), image, "openvino", str(threads)],
            "torch + timm": [
                SNIPPET, f"{folder}/weights.safetensors", image, "vit_tiny_patch16_224", str(threads),
            ],
        }  # fmt: skip
        samples: dict[str, list[dict[str, object]]] = {name: [] for name in commands}
        for number in range(rounds + 1):  # the first round warms the disk and the cache of compiled models
            for name, (code, *arguments) in commands.items():
                found = _run(code + END, arguments)
                if number:
                    samples[name].append(found)
    _print(samples)
    if output:
        output.write_text(json.dumps(samples))


def _run(code: str, arguments: list[str]) -> dict[str, object]:
    start = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-c", code, repr(start), *arguments], capture_output=True, text=True, check=True
    )
    result: dict[str, object] = json.loads(finished.stdout.splitlines()[-1])
    return result


def _print(samples: dict[str, list[dict[str, object]]]) -> None:
    import numpy as np
    from rich.table import Table

    from radiodino.export.verify import cosines

    from .print_table import print_table

    def median(name: str, key: str, part: str | None = None) -> float:
        values: list[Any] = [sample[key] for sample in samples[name]]
        return float(statistics.median(value[part] if part else value for value in values))

    table = Table(
        "", *(f"{part} (ms)" for part in _PARTS), "total (ms)", "× less time", "peak (MiB)", "× less memory", "cosine"
    )
    reference = list(samples)[-1]
    wanted = np.array([samples[reference][0]["embedding"]])
    for name in samples:
        found = np.array([samples[name][0]["embedding"]])
        table.add_row(
            name,
            *(f"{1000 * median(name, 'parts', part):.0f}" for part in _PARTS),
            f"{1000 * median(name, 'total'):.0f}",
            f"{median(reference, 'total') / median(name, 'total'):.1f}",
            f"{median(name, 'peak_mib'):.0f}",
            f"{median(reference, 'peak_mib') / median(name, 'peak_mib'):.1f}",
            f"{cosines(found, wanted)[0]:.6f}",
        )
    print_table(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
