"""``radiodino-bench gate``: whether exports have become slower, larger or worse than recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from radiodino.runtime import console as ending
from radiodino.runtime.atomic import atomic_path, refuse_existing
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.train.features.texts import shares

from . import options
from .bench.settings import BenchSettings, listed, names

if TYPE_CHECKING:
    from .bench.gate import Judgement
    from .bench.gate_baseline import Baseline
    from .bench.report import Report

BROKEN = 1
"""Exit status."""
RUNS = 12
PACE = BenchSettings(
    engines=("onnxruntime", "openvino"), threads=(1,), rounds=50, round_seconds=0.0, warm_seconds=2.0, peaks=False
)
"""What is measured where no option says otherwise. None says how long, for what is recorded and what is judged must be
measured alike: in many short rounds, of which those count that others disturbed least, for what else the host of a
virtual machine does changes within a second. Nor does one say with how many threads: the processor time of several is
that of waiting for each other too."""
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def gate(
    variant: options.Variants = "tiny",
    task: options.Tasks = "embed",
    weights: options.Weights = None,
    engines: Annotated[str, typer.Option(help="As of a plain run, on the CPU.")] = ",".join(PACE.engines),
    precisions: options.Precisions = "fp32,fp16,int8",
    batch_size: options.BatchSizes = "1",
    image_size: options.ImageSizes = "",
    data: options.Data = None,
    masks: options.Masks = None,
    images: options.Images = BenchSettings.images,
    fractions: options.Fractions = "0.7,0.1,0.2",
    split_seed: options.SplitSeed = 0,
    group: options.Group = None,
    calibration: options.Calibration = None,
    calibration_count: options.CalibrationCount = BenchSettings.calibration_count,
    isa: options.Isa = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="What was recorded; by default what comes with this package.", show_default=False),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(help="Take what --output wrote in place of measuring; repeatable."),
    ] = None,
    require_speed: Annotated[
        bool,
        typer.Option("--require-speed", help="Fail where speed cannot be judged: not recorded, or a busy machine."),
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Measure --runs times and write --baseline in place of what it has.")
    ] = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="As --update, beside the runs it has: of other days, or other machines.")
    ] = False,
    runs: Annotated[int | None, typer.Option(help=f"To record; by default {RUNS}.", show_default=False)] = None,
    output: options.Output = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
) -> None:
    """Hold exports to what is recorded: speed beside PyTorch's for this class of machine, files and answers exactly.

    Speed is the processor time of one thread beside that of the original; a machine that is busy with other things
    tells nothing of it.

    Ends with status 0 where all holds, 1 with a reason for each row that does not, 2 where it is asked wrongly.
    """
    from .bench.gate import judge
    from .bench.gate_baseline import PACKAGED, Baseline, read_baseline
    from .bench.gate_tables import outcome

    settings = replace(
        PACE,
        variants=names("--variant", variant),
        tasks=names("--task", task),
        weights=tuple(weights or ("auto",)),
        engines=names("--engines", engines),
        precisions=names("--precisions", precisions),
        batch_sizes=listed("--batch-size", batch_size, int),
        image_sizes=listed("--image-size", image_size, int),
        data=tuple(data or ()),
        masks=tuple(masks or ()),
        images=images,
        fractions=shares(fractions),
        split_seed=split_seed,
        group=group,
        calibration=tuple(calibration or ()),
        calibration_count=calibration_count,
        isa=isa,
    )
    taken = report or []
    records = update or extend
    _refuse(settings, taken, runs, baseline, markdown, records=records, anew=not extend)
    for path in (output, markdown, html, baseline if records else None):
        if path is not None:
            refuse_existing(path, overwrite=True)
    require("dev", "scipy")
    if not taken:
        require("dev", "torch", "timm", "onnx", "onnxscript", "fvcore", "psutil")
        settings.check()
    if records and baseline is not None:
        before = read_baseline(baseline) if baseline.exists() else Baseline(classes={})
        reports = _read(taken) or _calm_runs(settings, runs or RUNS)
        _write(reports[-1], output, html)
        _record(reports, before, baseline, extend=extend)
        return
    before = read_baseline(baseline or PACKAGED)
    reports = _read(taken) or [_measured(settings, "")]
    _write(reports[-1], output, html)
    judgement = judge(reports, before)
    if judgement.doubtful and not taken:  # chance, or others, seldom do the same twice; a change does
        for check in judgement.doubtful:
            out.print(f"again    {check.finding}: all is measured once more", soft_wrap=True, markup=False)
        reports.append(_measured(settings, "again: "))
        _write(reports[-1], output, html)
        judgement = judge(reports, before)
    _tell(judgement, markdown)
    short = require_speed and judgement.unjudged
    lacks = ", and --require-speed asks for it" if short else ""
    out.print(f"gate     {outcome(judgement)}{lacks}", soft_wrap=True, markup=False)
    if judgement.broken or short:
        raise typer.Exit(BROKEN)


def _refuse(
    settings: BenchSettings,
    taken: Sequence[Path],
    runs: int | None,
    baseline: Path | None,
    markdown: Path | None,
    *,
    records: bool,
    anew: bool,
) -> None:
    from .bench.gate_limit import FEWEST_RUNS

    if taken and settings != PACE:
        raise InputError("--report takes what was measured already: leave out the options that say what to measure")
    if runs is not None and (taken or not records):
        raise InputError("--runs is how often --update and --extend measure: leave it out here")
    fewest = FEWEST_RUNS if anew else 1
    if runs is not None and runs < fewest:
        raise InputError(f"--runs must be at least {fewest}, to tell how far runs lie apart, not {runs}")
    if records and baseline is None:
        raise InputError("--update and --extend write a baseline: name the file with --baseline")
    if records and markdown is not None:
        raise InputError("--markdown is of what is judged, and --update and --extend only record: leave it out")


def _calm_runs(settings: BenchSettings, count: int) -> list[Report]:
    """As many as asked; those of a busy machine are made again, up to as many times."""
    from .bench.gate_baseline import is_busy

    found: list[Report] = []
    calm = 0
    while calm < count and len(found) < 2 * count:
        report = _measured(settings, f"run {calm + 1} of {count}: ")
        found.append(report)
        calm += not is_busy(report)
    return found


def _record(reports: Sequence[Report], before: Baseline, path: Path, *, extend: bool) -> None:
    from .bench.gate_baseline import BUSY, is_busy, record, write_baseline
    from .bench.gate_tables import recorded_tables
    from .print_table import print_table

    after = record(reports, before, extend=extend)
    write_baseline(after, path)
    changed = {name: one for name, one in after.classes.items() if one != before.classes.get(name)}
    for table in recorded_tables(changed):
        print_table(table)
    out.print(f"wrote    {path}", soft_wrap=True, markup=False)
    busy = sum(map(is_busy, reports))
    left_out = f"; {busy} are left out, for others used more than {BUSY:.0%} of the processor's time" if busy else ""
    said = f"recorded {len(reports) - busy} runs, {', '.join(changed)}{left_out}"
    out.print(f"gate     {said}", soft_wrap=True, markup=False)


def _read(paths: Sequence[Path]) -> list[Report]:
    from .bench.report import read_report

    found = [read_report(path) for path in paths]
    for path, report in zip(paths, found, strict=True):
        if report.rounds != PACE.rounds:
            raise InputError(
                f"{path} was measured in {report.rounds} rounds, and the gate measures in {PACE.rounds}: give what "
                "radiodino-bench gate --output FILE  wrote"
            )
    return found


def _measured(settings: BenchSettings, label: str) -> Report:
    from .bench.run import run

    try:
        with err.status("starting") as status:
            return run(settings, lambda step: status.update(f"{label}{step} …"))
    except KeyboardInterrupt:
        ending.fail("interrupted", ending.INTERRUPTED)


def _write(report: Report, output: Path | None, html: Path | None) -> None:
    from .bench.page.compose import write_page
    from .bench.report import write_report

    if output is not None:
        write_report(report, output)
        out.print(f"wrote    {output}", soft_wrap=True, markup=False)
    if html is not None:
        write_page([report], html)
        out.print(f"wrote    {html}", soft_wrap=True, markup=False)


def _tell(judgement: Judgement, markdown: Path | None) -> None:
    from .bench.gate_tables import gate_markdown, gate_tables, said
    from .print_table import print_table

    for table in gate_tables(judgement):
        print_table(table)
    for word, sentence in said(judgement):
        out.print(f"{word:<9}{sentence}", soft_wrap=True, markup=False)
    if markdown is not None:
        with atomic_path(markdown, overwrite=True) as temporary:
            temporary.write_text(gate_markdown(judgement), encoding="utf-8")
        out.print(f"wrote    {markdown}", soft_wrap=True, markup=False)
