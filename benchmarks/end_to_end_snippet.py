"""The model card's own snippet (timm, torchvision) in a process of its own, for `radiodino.benchmarks.end_to_end`.

    python -m radiodino.benchmarks.end_to_end_snippet JOB

For a folder it stands in a loop that writes a row for each image, as one would who has it to do. The snippet opens
images with PIL, which knows no DICOM: those are read as pydicom's documentation does, with its window functions.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import timm
import torch

from .model_card import card_transform, open_image

Embed = Callable[[Path, dict[str, float]], torch.Tensor]


def embedder(job: dict[str, Any]) -> Embed:
    """The snippet's model and transform, as a function that adds the seconds of its parts to a dictionary."""
    torch.set_num_threads(job["threads"])
    model = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, num_classes=0, checkpoint_path=job["weights"]
    ).eval()
    transform = card_transform()

    def embed(path: Path, seconds: dict[str, float]) -> torch.Tensor:
        moments = [perf_counter()]
        image = open_image(path)
        moments.append(perf_counter())
        batch = transform(image).unsqueeze(0)
        moments.append(perf_counter())
        with torch.no_grad():
            embedding: torch.Tensor = model(batch)
        moments.append(perf_counter())
        for name, part in zip(("decode", "resize, normalise", "inference"), np.diff(moments).tolist(), strict=True):
            seconds[name] = seconds.get(name, 0.0) + part
        return embedding[0]

    return embed


def one(job: dict[str, Any]) -> dict[str, Any]:
    """One image after the other: seconds of the snippet, and of its parts."""
    embed = embedder(job)
    found: list[dict[str, float]] = []
    for number in range(job["repeats"] + 2):
        seconds: dict[str, float] = {}
        embedding = embed(Path(job["image"]), seconds)
        if number > 1:  # the first ones warm caches
            found.append(seconds)
    return {
        "seconds": float(np.median([sum(seconds.values()) for seconds in found])),
        "parts": {name: float(np.median([seconds[name] for seconds in found])) for name in found[0]},
        "embedding": embedding.tolist(),
    }


def folder(job: dict[str, Any]) -> dict[str, Any]:
    """The snippet for each image of a folder."""
    embed = embedder(job)
    started, seconds, rows = perf_counter(), dict[str, float](), 0
    with TemporaryDirectory() as work, (Path(work) / "embeddings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for path in sorted(Path(job["folder"]).iterdir()):
            writer.writerow([path.name, *embed(path, seconds).tolist()])
            rows += 1
    whole = perf_counter() - started
    seconds["write the table"] = whole - sum(seconds.values())
    return {"rows": rows, "unreadable": 0, "seconds_of_run": whole, "parts": seconds}


def main() -> None:
    """Do the job that the command line names, and print the answer."""
    job = json.loads(sys.argv[1])
    tasks = {"one": one, "folder": folder}
    sys.stdout.write(json.dumps(tasks[job["task"]](job)) + "\n")


if __name__ == "__main__":
    main()
