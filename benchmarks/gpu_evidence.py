"""All that is claimed of an NVIDIA GPU, measured on one in one command, as a table and as JSON.

    pip install -e '.[gpu,export,train,bench]' pytest hypothesis
    python -m radiodino.benchmarks.gpu_evidence -o evidence/

Its steps, each with a JSON file of its own in the folder, so that ``--resume`` goes on where a run ended:

- ``machine``: what ``radiodino-run doctor`` says;
- ``bench-VARIANT-BATCH``: PyTorch eager in fp32, PyTorch in fp16 compiled, ONNX Runtime's CUDA provider in fp32 and
  fp16 and, where TensorRT is installed, its TensorRT provider: latency, images/s, parity, share of the card's fastest
  matrix product (`radiodino.benchmarks.bench`);
- ``pixels-VARIANT``: the same batch as floats, and as pixels that are normalised on the GPU;
- ``pretrain``: images/s of the training step beside a step in the official code's style;
- ``tests``: the tests that need a GPU, of a clone.

At the end stand ``evidence.md`` and ``evidence.json`` with what was aimed at: the fp16 runtime at least as fast as
PyTorch in fp16 compiled at the largest batch, and twice as fast for one image. ``--device cpu`` goes the same way on a
CPU, to see that it works; it is no evidence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import get_variant

from .bench.settings import listed, names
from .gpu_steps import DEVICES, Plan

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; made where it is not there.")],
    variants: Annotated[str, typer.Option(help="Comma-separated.")] = "tiny,small,base",
    batches: Annotated[str, typer.Option(help="Images of one run, comma-separated.")] = "1,16,128",
    device: Annotated[str, typer.Option(help="cuda, or cpu to see that the command works.")] = "cuda",
    data: Annotated[
        list[str] | None, typer.Option(help="Images to pretrain on; by default made-up ones; repeatable.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="In each, every engine has its turn.")] = 9,
    round_seconds: Annotated[float, typer.Option(help="Of a turn, at least.")] = 0.5,
    only: Annotated[
        str, typer.Option(help="Kinds of steps, comma-separated, of machine, bench, pixels, pretrain, tests.")
    ] = "machine,bench,pixels,pretrain,tests",
    resume: Annotated[bool, typer.Option("--resume", help="Leave out the steps whose file is there.")] = False,
) -> None:
    """Measure all that is claimed of a GPU, and write it as evidence.md and evidence.json."""
    from .gpu_summary import write_summary

    if device not in DEVICES:
        raise InputError(f"there is no device '{device}': choose {', '.join(DEVICES)}")
    plan = Plan(
        folder=output,
        variants=tuple(get_variant(name).name for name in names("--variants", variants)),
        batches=listed("--batches", batches, int),
        device=DEVICES[device],
        data=tuple(data or ()),
        rounds=rounds,
        round_seconds=round_seconds,
        kinds=names("--only", only),
    )
    plan.check()
    # Not of the extra `dev`, which brings the ONNX Runtime that has no CUDA.
    require("export", "torch", "timm", "onnx", "onnxscript")
    require("bench", "fvcore", "psutil")
    plan.device.check()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output} cannot be made: {error.strerror or error}") from error
    steps = plan.steps()
    found = [step.file.name for step in steps if step.file.exists()]
    if found and not resume:
        raise OutputError(f"{output} holds {', '.join(found)} already: go on with --resume, or choose another folder")
    failed = []
    try:
        with err.status("starting") as status:
            for number, step in enumerate(steps, 1):
                place = f"{number} of {len(steps)}: {step.name}"
                if step.file.exists():
                    out.print(f"{place}: there already", markup=False)
                    continue
                reason = step.run(lambda text, place=place: status.update(f"{place}: {text} …"))  # type: ignore[misc]
                out.print(f"{place}: {reason or 'done'}", markup=False, soft_wrap=True)
                if reason:
                    failed.append(step.name)
    except KeyboardInterrupt:
        ending.fail(f"interrupted; what is done is kept in {output}: go on with --resume", ending.INTERRUPTED)
    for path in write_summary(plan):
        out.print(f"wrote {path}", markup=False)
    if failed:
        out.print(f"not done: {', '.join(failed)}; --resume tries them again", markup=False)
        raise typer.Exit(1)


def command() -> NoReturn:
    """The command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)


if __name__ == "__main__":
    command()
