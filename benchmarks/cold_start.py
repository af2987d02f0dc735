"""From the start of a process to its first embedding: what a process runs, for `radiodino.benchmarks.end_to_end`.

    python -m radiodino.benchmarks.end_to_end --rows cold --rounds 9

Each of the texts is a program of its own, so that it imports what it needs and nothing else; `END` follows each.
"""

from __future__ import annotations

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

BARE = """
import sys, time
start, model_file, image, threads = float(sys.argv[1]), *sys.argv[2:]
marks = [("interpreter", time.monotonic())]
import numpy as np
from PIL import Image
import onnxruntime
marks.append(("import", time.monotonic()))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
marks.append(("load", time.monotonic()))
pixels = np.asarray(Image.open(image).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR), np.float32) / 255
pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
embedding = session.run(None, {"image": pixels.transpose(2, 0, 1)[np.newaxis]})[0]
marks.append(("first embedding", time.monotonic()))
"""
"""The least that a script can do: nothing verified, nothing chosen. What Python, NumPy and the engine cost alone."""

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
