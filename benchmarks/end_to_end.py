"""From files on disk to answers: one image of each usual kind, a folder of mixed images, and a cold start.

    python -m radiodino.benchmarks.end_to_end --data FOLDER

Beside the model card's own snippet (torch, timm and torchvision, in a loop for a folder), with the same weights (the
demonstration weights of tiny). Every measurement is a process of its own, in interleaved rounds; printed are medians
over the rounds, the median of the rounds' ratios, and what each part takes. A folder's time is that of the process, its
start among it. What a part takes is measured where one part is done after the other; in a run over a folder they go
side by side. Without ``--data`` (or ``RADIODINO_DATA``) the images are synthetic, and no int8 file is calibrated.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from radiodino.runtime import console as ending
from radiodino.runtime.extras import require
from radiodino.runtime.variants import get_variant

from .cold_start import BARE, END, RUNTIME, SNIPPET

Samples = dict[str, dict[str, list[dict[str, Any]]]]
"""By the row, then by who was measured, one for each round."""

_Measure = Callable[[], dict[str, Any]]
_Contest = dict[str, tuple[_Measure, _Measure]]
"""By who is measured: what warms the disk and the caches of compiled models and of byte code, and what is measured."""
_OURS, _SNIPPET = "radiodino", "snippet"
_PNG = "512² grey PNG"
"""What a cold start embeds."""


def main(
    data: Annotated[
        Path | None, typer.Option(envvar="RADIODINO_DATA", help="Folder with zip archives of JPEG images.")
    ] = None,
    images: Annotated[int, typer.Option(help="Images of the folder.")] = 2000,
    rounds: Annotated[int, typer.Option(help="Rounds over all rows.")] = 5,
    repeats: Annotated[int, typer.Option(help="Times that one image is embedded in a process.")] = 30,
    threads: Annotated[int, typer.Option(help="CPU threads of each engine.")] = 2,
    rows: Annotated[str, typer.Option(help="Comma-separated, of one, folder, cold.")] = "one,folder,cold",
    keep: Annotated[
        Path | None, typer.Option(help="Folder that keeps the exported files and the images for the next time.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the raw samples as JSON.")] = None,
) -> None:
    """Measure from files on disk to embeddings, beside the model card's snippet."""
    require("dev", "torch", "timm", "torchvision", "onnx", "safetensors", "openvino", "onnxruntime")
    with tempfile.TemporaryDirectory() as temporary:
        work = keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        environment = _environment(work)
        files = _exported(work, data)
        made_of, single, folder = _images(work, data, images)
        job = {"threads": threads, "repeats": repeats, "weights": str(files["weights"])}
        few = next(iter(single.values())).parent
        measure: dict[str, _Contest] = {}
        if "one" in rows.split(","):
            for name, image in single.items():
                measure[name] = _contest(files, {**job, "task": "one", "image": str(image)}, environment)
        if "folder" in rows.split(","):
            whole, first = ({**job, "task": "folder", "folder": str(path)} for path in (folder, few))
            measure[f"{images} mixed images to CSV"] = _contest(files, whole, environment, warm_up=first)
        if "cold" in rows.split(","):
            measure["cold start"] = _cold(files, single[_PNG], threads, environment)
        samples: Samples = {row: {who: [] for who in contest} for row, contest in measure.items()}
        for contest in measure.values():
            for warm_up, _ in contest.values():
                warm_up()
        for _ in range(rounds):
            for row, contest in measure.items():
                for who, (_, run) in contest.items():
                    samples[row][who].append(run())
        work_of_parts = {}
        if "folder" in rows.split(","):
            task = {**job, "task": "parts", "folder": str(folder), "model": str(files["fp16"])}
            work_of_parts = _child("runtime", task, environment)()["parts"]
    typer.echo(f"images: {made_of}")
    _print(samples, work_of_parts)
    if output:
        output.write_text(json.dumps({"images": made_of, "samples": samples, "parts": work_of_parts}))


def _environment(work: Path) -> dict[str, str]:
    """That of the processes: byte code is kept, as an installation has it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "RADIODINO_HOME": str(work / "home"), "PYTHONPYCACHEPREFIX": str(work / "bytecode")}


def _exported(work: Path, data: Path | None) -> dict[str, Path]:
    """The snippet's weights and the exported files: ``weights``, ``fp16`` and, with data, ``int8``."""
    import safetensors.torch

    from radiodino.export.pipeline import export_model
    from radiodino.export.settings import ExportSettings
    from radiodino.train.weights.load import load_weights

    variant = get_variant("tiny")
    files = {"weights": work / "weights.safetensors"}
    if not files["weights"].exists():
        safetensors.torch.save_file(load_weights(variant, "demo")[0].state_dict(), str(files["weights"]))
    archives = tuple(str(path) for path in sorted(data.glob("*.zip"))) if data else ()
    for precision in ("fp16", "int8") if archives else ("fp16",):
        files[precision] = work / f"tiny-{precision}.onnx"
        if not files[precision].exists():
            calibration = archives if precision == "int8" else ()
            settings = ExportSettings(
                variant, weights="demo", precision=precision, output=files[precision], calibration=calibration
            )
            export_model(settings)
    return files


def _images(work: Path, data: Path | None, count: int) -> tuple[str, dict[str, Path], Path]:
    """What the images are made of, one of each usual kind by its name, and the folder of mixed ones."""
    from PIL import Image

    from .mixed_images import large_jpeg, png, sources, windowed_dicom, write_mixed_images

    kinds = {
        "1024² grey JPEG": ("large.jpg", large_jpeg),
        _PNG: ("image.png", png),
        "512² DICOM, 12 bits": ("image.dcm", windowed_dicom),
    }
    with Image.open(BytesIO(next(sources(1, data)))) as image:
        original = image.convert("L")
    (work / "single").mkdir(exist_ok=True)
    single = {name: work / "single" / file for name, (file, _) in kinds.items()}
    for name, (_, encode) in kinds.items():
        single[name].write_bytes(encode(original))
    folder, note = work / f"mixed-{count}", work / f"mixed-{count}.txt"
    if not note.exists():
        folder.mkdir(exist_ok=True)
        note.write_text(write_mixed_images(folder, count, data), encoding="utf-8")
    return note.read_text(encoding="utf-8"), single, folder


def _contest(
    files: dict[str, Path], job: dict[str, Any], environment: dict[str, str], warm_up: dict[str, Any] | None = None
) -> _Contest:
    """This package with each of its files, and the snippet, at the same job."""
    ours = [(f"{_OURS}, {name}", "runtime", files[name]) for name in ("fp16", "int8") if name in files]
    contest: _Contest = {}
    for who, module, file in (*ours, (_SNIPPET, "snippet", files["weights"])):
        run, first = (_child(module, {**given, "model": str(file)}, environment) for given in (job, warm_up or job))
        contest[who] = first, run
    return contest


def _child(module: str, job: dict[str, Any], environment: dict[str, str]) -> _Measure:
    command = [sys.executable, "-m", f"radiodino.benchmarks.end_to_end_{module}", json.dumps(job)]
    return lambda: _run(command, environment)


def _cold(files: dict[str, Path], image: Path, threads: int, environment: dict[str, str]) -> _Contest:
    def cold(code: str, *arguments: object) -> tuple[_Measure, _Measure]:
        def run() -> dict[str, Any]:
            command = [sys.executable, "-c", code + END, repr(time.monotonic()), *map(str, arguments)]
            return _run(command, environment)

        return run, run

    ours = {
        f"{_OURS}, {name}, {engine}": cold(RUNTIME, files[name], image, engine, threads)
        for name in ("fp16", "int8")
        if name in files
        for engine in ("onnxruntime", "openvino")
    }
    least = "int8" if "int8" in files else "fp16"
    bare = {f"bare script, {least}, onnxruntime": cold(BARE, files[least], image, threads)}
    return {**ours, **bare, _SNIPPET: cold(SNIPPET, files["weights"], image, "vit_tiny_patch16_224", threads)}


def _run(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    started, before = time.monotonic(), os.times()
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    whole, after = time.monotonic() - started, os.times()
    if finished.returncode:
        ending.fail(f"{command[2]} ended with status {finished.returncode}: {finished.stderr.strip()[-400:]}", 1)
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {**result, "seconds_of_process": whole, "cpu_seconds_of_process": cpu}


def _seconds(sample: dict[str, Any]) -> float:
    """What counts of a sample: of one image the warm time, of a cold start until the answer, of a folder all."""
    return float(sample.get("seconds") or sample.get("total") or sample["seconds_of_process"])


def _print(samples: Samples, work_of_parts: dict[str, float]) -> None:
    from rich.table import Table

    from radiodino.export.verify import cosines

    from .print_table import print_table

    table = Table("", "", "ms", "× less time", "lowest - highest", "CPU s", "peak MiB", "× less memory", "cosine")
    shares = Table("", "", "what each part takes, one after the other")
    for row, contestants in samples.items():
        reference = contestants[_SNIPPET]
        for who, found in contestants.items():
            ratios = [_seconds(theirs) / _seconds(ours) for ours, theirs in zip(found, reference, strict=True)]
            peak, their_peak = _median(found, "peak_mib"), _median(reference, "peak_mib")
            answers = [np.array([one[0]["embedding"]]) for one in (found, reference) if "embedding" in one[0]]
            table.add_row(
                row,
                who,
                f"{1000 * statistics.median(map(_seconds, found)):.{0 if _seconds(found[0]) > 0.1 else 2}f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} - {max(ratios):.2f}",
                f"{_median(found, 'cpu_seconds_of_process'):.1f}",
                f"{peak:.0f}" if peak else "",
                f"{their_peak / peak:.1f}" if peak and their_peak else "",
                f"{cosines(*answers)[0]:.6f}" if answers else "",
            )
            parts = _median_parts(found) or (work_of_parts if who == f"{_OURS}, fp16" else {})
            whole = sum(parts.values())
            if parts:
                texts = [f"{name} {1000 * part:.3g} ms ({part / whole:.0%})" for name, part in parts.items()]
                shares.add_row(row, who, ", ".join(texts))
    print_table(table)
    print_table(shares)


def _median(found: list[dict[str, Any]], key: str) -> float | None:
    values = [sample[key] for sample in found if sample.get(key) is not None]
    return statistics.median(values) if values else None


def _median_parts(found: list[dict[str, Any]]) -> dict[str, float]:
    names = found[0].get("parts", {})
    return {name: statistics.median(sample["parts"][name] for sample in found) for name in names}


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
