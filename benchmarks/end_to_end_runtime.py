"""This package's runtime in a process of its own, for `radiodino.benchmarks.end_to_end`.

    python -m radiodino.benchmarks.end_to_end_runtime JOB

``JOB`` is JSON; the answer, on the last line of the output, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from radiodino.runtime import Model
from radiodino.runtime.blank import is_blank
from radiodino.runtime.decode import decode
from radiodino.runtime.embed.entry import Entry
from radiodino.runtime.embed.results import Results
from radiodino.runtime.embed.run import embed_run
from radiodino.runtime.embed.table_csv import write_csv

BATCH_SIZE, PARALLEL = 8, 2  # as of radiodino-run embed


def one(job: dict[str, Any]) -> dict[str, Any]:
    """One image after the other, as the clinic's user gives them: seconds of `Model.embed`, and of its parts."""
    model = Model.load(job["model"], threads=job["threads"])
    whole, parts = [], []
    for number in range(job["repeats"] + 2):
        started = perf_counter()
        embedding = model.embed(job["image"])[0]
        middle = perf_counter()
        found = _parts(model, [Path(job["image"])])
        if number > 1:  # the first ones warm caches
            whole.append(middle - started)
            parts.append(found)
    middle_parts = {name: float(np.median([found[name] for found in parts])) for name in parts[0]}
    return {"seconds": float(np.median(whole)), "parts": middle_parts, "embedding": embedding.tolist()}


def folder(job: dict[str, Any]) -> dict[str, Any]:
    """A whole run, as of the command ``radiodino-run embed``, in this process."""
    model = Model.load(job["model"], threads=job["threads"], batch_size=BATCH_SIZE, parallel=PARALLEL)
    with TemporaryDirectory() as work:
        summary = embed_run(model, [job["folder"]], Path(work) / "embeddings.csv", batch_size=BATCH_SIZE)
        return {
            "rows": summary.rows,
            "unreadable": summary.unreadable,
            "seconds_of_run": summary.seconds,
            "inference_share": summary.inference_share,
            "waiting_share": summary.waiting_share,
        }


def parts(job: dict[str, Any]) -> dict[str, Any]:
    """What each part of a run takes where one is done after the other: seconds for all images of the folder."""
    model = Model.load(job["model"], threads=job["threads"], batch_size=BATCH_SIZE)
    paths = sorted(Path(job["folder"]).iterdir())
    _parts(model, paths[:BATCH_SIZE])
    total: dict[str, float] = {}
    for first in range(0, len(paths), BATCH_SIZE):
        for name, seconds in _parts(model, paths[first : first + BATCH_SIZE]).items():
            total[name] = total.get(name, 0.0) + seconds
    with TemporaryDirectory() as work:
        rows = np.random.default_rng(0).normal(size=(len(paths), model.info.embedding_size)).astype(np.float32)
        entries = [Entry(path.name, "", (None,)) for path in paths]
        started = perf_counter()
        write_csv(Path(work) / "embeddings.csv", Results(rows, lambda: entries, {}))
        total["write the table"] = perf_counter() - started
    return {"parts": total}


def _parts(model: Model, paths: list[Path]) -> dict[str, float]:
    moments = [perf_counter()]
    frames = [next(decode(path)) for path in paths]
    moments.append(perf_counter())
    for frame in frames:
        is_blank(frame.image)
    pixels = [model.preprocess(frame.image) for frame in frames]
    moments.append(perf_counter())
    model.run(np.stack(pixels) if len(pixels) > 1 else pixels[0][np.newaxis])
    moments.append(perf_counter())
    return dict(zip(("decode", "resize, normalise", "inference"), np.diff(moments).tolist(), strict=True))


def main() -> None:
    """Do the job that the command line names, and print the answer."""
    job = json.loads(sys.argv[1])
    tasks = {"one": one, "folder": folder, "parts": parts}
    sys.stdout.write(json.dumps(tasks[job["task"]](job)) + "\n")


if __name__ == "__main__":
    main()
