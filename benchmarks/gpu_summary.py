"""What the steps of `radiodino.benchmarks.gpu_evidence` found, in one place, beside what was aimed at."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from radiodino.runtime.atomic import atomic_path

from .bench.report import Report, read_report
from .bench.row import Row
from .bench.tables import machine_line
from .contest import OFFICIAL
from .contestant_process import Sample
from .gpu_steps import Plan
from .step_summary import summarise


@dataclass(frozen=True)
class Goal:
    """One thing that was aimed at."""

    name: str
    wanted: float
    found: float | None
    """None where it was not measured."""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.found is None:
            return "not measured"
        return "met" if self.found >= self.wanted else "missed"


def write_summary(plan: Plan) -> list[Path]:
    """Write ``evidence.json`` and ``evidence.md`` of the steps that are done.

    Raises:
        InputError: a step's file is damaged.
        OutputError: they cannot be written.
    """
    reports = {
        step.name: read_report(step.file) for step in plan.bench_steps() if step.file.exists() and "bench" in plan.kinds
    }
    others = {name: _read(plan.file(name)) for name in ("machine", "pretrain", "tests")}
    pixels = [found for name in plan.variants if (found := _read(plan.file(f"pixels-{name}"))) is not None]
    goals = judged(plan, list(reports.values()))
    document = {
        "device": plan.device.name,
        "goals": [asdict(goal) | {"verdict": goal.verdict} for goal in goals],
        "rows": [asdict(row) for report in reports.values() for row in report.rows],
        "pixels": pixels,
        **others,
    }
    lines = _markdown(plan, reports, goals, pixels, others)
    paths = [plan.folder / "evidence.json", plan.folder / "evidence.md"]
    texts = [json.dumps(document, indent=1), "\n".join(lines)]
    for path, text in zip(paths, texts, strict=True):
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return paths


def judged(plan: Plan, reports: list[Report]) -> list[Goal]:
    """Of each variant: our fastest fp16 row beside PyTorch in fp16 compiled, for one image and the largest batch."""
    goals = []
    rows = [row for report in reports for row in report.rows]
    for variant in plan.variants:
        for batch, wanted in ((1, 2.0), (max(plan.batches), 1.0)):
            if batch not in plan.batches:
                continue
            of_work = [row for row in rows if (row.work.variant, row.work.batch_size) == (variant, batch)]
            ours = _fastest(of_work, (*plan.device.runtime, *plan.device.optional))
            theirs = _fastest(of_work, plan.device.original[-1:])
            found = ours.images_per_second / theirs.images_per_second if ours and theirs else None
            goals.append(Goal(f"{variant}, batch {batch}: fp16 beside PyTorch fp16 compiled", wanted, found))
    return goals


def _fastest(rows: list[Row], engines: tuple[str, ...]) -> Row | None:
    chosen = [row for row in rows if row.engine in engines and row.precision == "fp16"]
    return max(chosen, key=lambda row: row.images_per_second, default=None)


def _markdown(
    plan: Plan, reports: dict[str, Report], goals: list[Goal], pixels: list[Any], others: dict[str, Any]
) -> list[str]:
    lines = ["# Evidence of a GPU" if plan.device.name == "cuda" else "# A trial on the CPU: no evidence of a GPU", ""]
    machine = others["machine"]
    if machine:
        nvidia = machine["nvidia"]
        gpus = [f"{gpu['name']} (compute capability {gpu['compute_capability']})" for gpu in nvidia["gpus"]]
        lines += [f"{', '.join(gpus) or nvidia['problem']}; driver {nvidia['driver']}, CUDA {nvidia['cuda']}.", ""]
    lines += [machine_line(report) for report in list(reports.values())[:1]]
    lines += ["", "| aimed at | at least | measured | |", "|---|---|---|---|"]
    lines += [
        f"| {goal.name} | {goal.wanted:g} × | {'–' if goal.found is None else f'{goal.found:.2f} ×'} | {goal.verdict} |"
        for goal in goals
    ]
    lines += [
        "",
        "| variant, batch | engine | computes in | median (ms) | images/s | × eager fp32 | smallest cosine | of peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for report in reports.values() for row in report.rows]
    missing = {
        f"{name}: {one} is left out: {reason}"
        for name, report in reports.items()
        for note in report.works
        for one, reason in note.left_out.items()
    }
    lines += ["", *(f"- {text}" for text in sorted(missing))]
    if pixels:
        lines += [
            "",
            "| variant, batch | floats (ms) | pixels, normalised there (ms) | same bits |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {one['variant']}, {one['batch_size']} | {one['milliseconds']['floats']:.2f} | "
            f"{one['milliseconds']['pixels']:.2f} | {'yes' if one['same_bits'] else '**no**'} |"
            for one in pixels
        ]
    if others["pretrain"]:
        lines += ["", *_training(others["pretrain"])]
    tests = others["tests"]
    lines += ["", f"Tests on the GPU: {tests['passed'] if tests else 'not run'}."]
    return lines


def _line(row: Row) -> str:
    cosine = "–" if row.quality is None else f"{row.quality.min_cosine:.6f}"
    peak = "–" if row.peak_share is None else f"{row.peak_share:.0%}"
    return (
        f"| {row.work.variant}, {row.work.batch_size} | {row.name} | {row.compute} | {row.latency.p50:.3f} | "
        f"{row.images_per_second:.5g} | {row.ratio.value:.2f} | {cosine} | {peak} |"
    )


def _training(document: dict[str, Any]) -> list[str]:
    samples = {name: [Sample(**sample) for sample in rounds] for name, rounds in document["samples"].items()}
    rows = summarise(samples, [OFFICIAL])
    lines = [
        f"Pretraining step, {document['recipe']['variant']}, on {document['device']}:",
        "",
        "| | images/s | × official style |",
        "|---|---|---|",
    ]
    return lines + [f"| {name} | {row.images_per_second:.1f} | {row.ratios[0]:.2f} |" for name, row in rows.items()]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
