"""``radiodino-bench``: what an export costs and gains on this machine."""

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
from .bench.settings import QUICK, SWEEP_BATCHES, SWEEP_SIZES, BenchSettings, listed, names
from .gate_command import gate

if TYPE_CHECKING:
    from .bench.report import Report
    from .bench.row import WorkNote

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure exported Radio DINO files beside their PyTorch original, and beside what one would take otherwise.",
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
app.command()(gate)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    variant: options.Variants = "tiny",
    task: options.Tasks = "embed",
    weights: options.Weights = None,
    head: Annotated[str, typer.Option(help="Of random segmenters: paper or lite.")] = "lite",
    engines: Annotated[
        str,
        typer.Option(
            help="Comma-separated, of pytorch (eager fp32, which is always measured: the original), pytorch-compile, "
            "onnxruntime, openvino, cuda, ort-tensorrt, tensorrt, pytorch-cuda, pytorch-cuda-compile; by default "
            "pytorch and what the runtime can use here.",
            show_default=False,
        ),
    ] = "",
    precisions: options.Precisions = "fp32,fp16,int8",
    batch_size: options.BatchSizes = "",
    image_size: options.ImageSizes = "",
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Measure not every batch at every size, but one image at each size and each batch at 224 px: for the "
            f"page's plots of cost. By default at {', '.join(map(str, SWEEP_SIZES))} px (64 for 56 where the patch is "
            f"16), and {', '.join(map(str, SWEEP_BATCHES))} images.",
        ),
    ] = False,
    threads: Annotated[
        str, typer.Option(help="CPU threads, comma-separated; by default the physical cores.", show_default=False)
    ] = "",
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Measure beside, in the same rounds, what one would take otherwise: plain torch.onnx.export, ONNX "
            "Runtime's quantisers, optimum, OpenVINO's converter, NNCF.",
        ),
    ] = False,
    end_to_end: Annotated[
        bool,
        typer.Option(
            "--end-to-end",
            help="Measure one image on disk to the answer too (decode, resize, inference), beside the model card's "
            "snippet: a made-up grey JPEG of 1024 × 1024, or --image.",
        ),
    ] = False,
    image: Annotated[Path | None, typer.Option(help="The JPEG or PNG of --end-to-end, which it implies.")] = None,
    data: options.Data = None,
    masks: options.Masks = None,
    images: options.Images = BenchSettings.images,
    fractions: options.Fractions = "0.7,0.1,0.2",
    split_seed: options.SplitSeed = 0,
    group: options.Group = None,
    calibration: options.Calibration = None,
    calibration_count: options.CalibrationCount = BenchSettings.calibration_count,
    isa: options.Isa = None,
    rounds: options.Rounds = BenchSettings.rounds,
    round_seconds: options.RoundSeconds = BenchSettings.round_seconds,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three short rounds, few images: under two minutes for tiny on 2 cores.")
    ] = False,
    output: options.Output = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
) -> None:
    """Measure every engine in every precision, each in its own process, in interleaved rounds."""
    if context.invoked_subcommand:
        return
    require("dev", "torch", "timm", "onnx", "onnxscript", "fvcore", "psutil")
    for path in (output, markdown, html):
        if path is not None:
            refuse_existing(path, overwrite=True)
    settings = BenchSettings(
        variants=names("--variant", variant),
        tasks=names("--task", task),
        weights=tuple(weights or ("auto",)),
        head=head,
        engines=names("--engines", engines),
        precisions=names("--precisions", precisions),
        batch_sizes=listed("--batch-size", batch_size, int) or (SWEEP_BATCHES if sweep else (1,)),
        image_sizes=listed("--image-size", image_size, int),
        sweep=sweep,
        threads=listed("--threads", threads, int),
        peers=peers,
        end_to_end=end_to_end,
        image=None if image is None else str(image),
        data=tuple(data or ()),
        masks=tuple(masks or ()),
        images=images,
        fractions=shares(fractions),
        split_seed=split_seed,
        group=group,
        calibration=tuple(calibration or ()),
        calibration_count=calibration_count,
        isa=isa,
        rounds=rounds,
        round_seconds=round_seconds,
    )
    if quick:
        settings = replace(settings, **QUICK)  # type: ignore[arg-type]
    settings.check()

    report = _measured([settings], output, markdown, html)
    out.print(f"machine  {_machine(report)}", soft_wrap=True, markup=False)


@app.command()
def targets(
    data: Annotated[
        list[str] | None,
        typer.Option(help="Labelled images of the kind that int8 files are for, to calibrate and judge; repeatable."),
    ] = None,
    variant: Annotated[str, typer.Option(help="Comma-separated: only the promises for these.")] = "tiny,small,base",
    isa: options.Isa = None,
    rounds: options.Rounds = BenchSettings.rounds,
    round_seconds: options.RoundSeconds = BenchSettings.round_seconds,
    output: options.Output = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
) -> None:
    """Measure what this package promises of speed on a CPU with two threads, beside all peers, and say what is met."""
    require("dev", "torch", "timm", "onnx", "onnxscript", "fvcore", "psutil", "openvino", "onnxruntime", "nncf")
    for path in (output, markdown, html):
        if path is not None:
            refuse_existing(path, overwrite=True)
    from .bench.tables import targets_table
    from .bench.targets import TARGETS, judge_targets, settings_of
    from .print_table import print_table

    base = BenchSettings(
        engines=("pytorch", "openvino", "onnxruntime"), threads=(2,), peers=True, data=tuple(data or ()), isa=isa,
        rounds=rounds, round_seconds=round_seconds, images=50, calibration_count=32,
    )  # fmt: skip
    named = names("--variant", variant)
    chosen = [one for one in TARGETS if one.variant in named]
    if not chosen:
        raise InputError(f"nothing is promised for {variant}: choose of tiny, small, base")
    report = _measured(settings_of(chosen, base), output, markdown, html)
    print_table(targets_table(judge_targets(chosen, report)))
    out.print(f"machine  {_machine(report)}", soft_wrap=True, markup=False)


def _machine(report: Report) -> str:
    from .bench.tables import machine_line

    return machine_line(report)


def _measured(runs: Sequence[BenchSettings], output: Path | None, markdown: Path | None, html: Path | None) -> Report:
    """All of `runs` as one report, printed and written as each network is done."""
    from .bench.report import write_report
    from .bench.run import run
    from .bench.tables import markdown as as_markdown
    from .bench.tables import rows_of, terminal_tables, work_notes
    from .print_table import print_table

    for settings in runs:
        settings.check()
    done: Report | None = None
    try:
        with err.status("starting") as status:

            def finished(report: Report, note: WorkNote) -> None:
                status.stop()
                for table in terminal_tables(report, note):
                    print_table(table)
                for sentence in work_notes(note, rows_of(report, note)):
                    out.print(f"note     {sentence}", soft_wrap=True, markup=False)
                if output is not None:
                    write_report(_joined(done, report), output)
                status.start()

            for settings in runs:
                done = _joined(done, run(settings, lambda step: status.update(f"{step} …"), finished))
    except KeyboardInterrupt:
        ending.fail("interrupted", ending.INTERRUPTED)
    if done is None:
        raise InputError("nothing is to be measured: name a --variant")
    if output is not None:
        out.print(f"wrote    {output}", soft_wrap=True, markup=False)
    if markdown is not None:
        with atomic_path(markdown, overwrite=True) as temporary:
            temporary.write_text(as_markdown(done), encoding="utf-8")
        out.print(f"wrote    {markdown}", soft_wrap=True, markup=False)
    if html is not None:
        _page([done], html)
    return done


def _joined(first: Report | None, then: Report) -> Report:
    if first is None:
        return then
    return replace(first, works=(*first.works, *then.works), rows=(*first.rows, *then.rows))


@app.command()
def page(
    reports: Annotated[
        list[Path], typer.Argument(help="What  radiodino-bench --output  wrote, once or several times.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")],
) -> None:
    """Make one page, with plots, of what was measured before; needs nothing else, on a phone or without a network."""
    from .bench.report import read_report

    refuse_existing(output, overwrite=True)
    _page([read_report(path) for path in reports], output)


def _page(reports: Sequence[Report], path: Path) -> None:
    from .bench.page.compose import write_page

    write_page(reports, path)
    out.print(f"wrote    {path}", soft_wrap=True, markup=False)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="What  radiodino-bench --output  wrote.")],
    after: Annotated[Path, typer.Argument(help="What it wrote later.")],
) -> None:
    """Tell what moved beyond noise: each engine's ratio to the PyTorch original of its own run, files and answers."""
    from .bench.compare import SAME
    from .bench.compare import compare as compared
    from .bench.report import read_report
    from .bench.tables import comparison_table
    from .print_table import print_table

    found = compared(read_report(before), read_report(after))
    print_table(comparison_table(found))
    for word, names_ in (("gone", found.gone), ("new", found.new)):
        for name in names_:
            out.print(f"{word:<9}{name}", soft_wrap=True, markup=False)
    for note in found.notes:
        out.print(f"note     {note}", soft_wrap=True, markup=False)
    moved = [f"{change.name} ({change.work}) {change.verdict}" for change in found.changes if change.verdict != SAME]
    out.print(f"moved    {'; '.join(moved) or 'nothing beyond noise'}", soft_wrap=True, markup=False)


def main() -> None:
    """Entry point of ``radiodino-bench``."""
    ending.run(app)


if __name__ == "__main__":
    main()
