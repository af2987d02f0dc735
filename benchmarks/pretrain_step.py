"""Pretraining speed: images per second of DINO's training step, ours beside an official-style one.

    python -m radiodino.benchmarks.pretrain_step --data FOLDER --variant tiny --crops 96,48,4 --out-dim 4096 \
        --batch-size 64 --precision bf16-mixed --compile

The same model, first weights, images, crops (number, sizes, augmentation) and batch on the same device, in interleaved
rounds of one run, each contestant in a process of its own that is idle while others are measured:

- **official style**: `radiodino.benchmarks.official_style_step` with its data path, files decoded anew and cropped with
  torchvision in worker processes;
- **official style, step alone**: the same step on crops that lie ready on the device;
- **ours**, and **ours, compiled**: the steps of `radiodino.train.pretrain.training`, with their data path.

The first round of each warms up and does not count. On a machine with a CUDA device the same command measures there.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.machine import this_machine, usable_cores
from radiodino.runtime.variants import VARIANTS

if TYPE_CHECKING:
    from radiodino.train.pretrain.recipe import Recipe

    from .contest import Job
    from .contestant_process import Sample


def main(
    data: Annotated[
        list[str], typer.Option(help="Images: folders, files, globs, zip archives, .npz sets; repeatable.")
    ],
    variant: Annotated[str, typer.Option(help=f"One of {', '.join(VARIANTS)}.")] = "tiny",
    crops: Annotated[
        str, typer.Option(help="Sides of global and local crops in pixels, and number of local crops.")
    ] = "224,96,8",
    out_dim: Annotated[int, typer.Option(help="Prototypes.")] = 65536,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 64,
    rounds: Annotated[int, typer.Option(help="How many, beside one that warms up.")] = 5,
    steps: Annotated[
        int, typer.Option(help="Per round, after 1 that settles; official style: a multiple of the workers.")
    ] = 4,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each contestant; by default all cores.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes of the official-style data path; by default as many as cores.")
    ] = None,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true",
    official_precision: Annotated[
        str | None, typer.Option(help="Of the official-style step, by default the same; 16-mixed on CUDA too.")
    ] = None,
    fused_attention: Annotated[
        bool, typer.Option("--fused-attention", help="Give the official-style step PyTorch's fused attention.")
    ] = False,
    compile_ours: Annotated[
        bool, typer.Option("--compile", help="Measure our step compiled, too; compiling takes about a minute.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    images: Annotated[
        int, typer.Option(help="How many images to use, taken evenly; all where there are fewer.")
    ] = 1024,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the raw samples as JSON.")] = None,
) -> None:
    """Measure images per second of a DINO training step, ours beside an official-style one."""
    require("train", "torch", "timm", "torchvision", "lightning_fabric")
    from radiodino.runtime.inputs.listing import list_inputs
    from radiodino.runtime.progress import progress_bar
    from radiodino.train.data.image_cache import open_cache
    from radiodino.train.pretrain.recipe import as_document

    from .contest import COMPILED, NAMES, Job
    from .contestant_process import ContestantProcess
    from .gather_images import gather_images

    for name, value in (("rounds", rounds), ("steps", steps), ("threads", threads), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, not {value}")
    workers = workers or usable_cores()
    recipe = _recipe(variant, crops, out_dim, batch_size, precision)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder, cache = Path(temporary, "images"), Path(temporary, "cache")
        folder.mkdir()
        gather_images(data, images, folder)
        found = len(open_cache(list_inputs([folder]), cache, recipe.cache_size))
        if found < batch_size:
            raise InputError(
                f"{found} images are fewer than one batch of {batch_size}: add --data or lower --batch-size"
            )
        most = (rounds + 1) * 2 * (steps + workers)  # more than any contestant makes; the schedules must hold them
        recipe = replace(recipe, epochs=max(recipe.epochs, 2 + most // (found // batch_size)))
        job = Job(
            recipe=recipe,
            images=folder,
            cache=cache,
            accelerator=accelerator,
            threads=threads or usable_cores(),
            workers=workers,
            official_precision=official_precision or precision,
            fused_attention=fused_attention,
        )
        names = [name for name in NAMES if compile_ours or name != COMPILED]
        contestants = {}
        for name in names:
            contestants[name] = ContestantProcess(name, job)
            stack.callback(contestants[name].close)
        device = {contestant.ready() for contestant in contestants.values()}.pop()
        samples: dict[str, list[Sample]] = {name: [] for name in names}
        with progress_bar("rounds") as progress:
            for number in range(rounds + 1):
                for name, contestant in contestants.items():
                    sample = contestant.round(steps if number else 1)
                    if number:
                        samples[name].append(sample)
                progress(number + 1, rounds + 1)
    _print(samples, device, job)
    if output:
        document = {
            "device": device,
            "machine": asdict(this_machine()),
            "versions": {name: metadata.version(name) for name in ("radiodino", "torch", "timm", "torchvision")},
            "threads": job.threads,
            "workers": workers,
            "images": found,
            "official_precision": job.official_precision,
            "fused_attention": fused_attention,
            "recipe": as_document(recipe),
            "samples": {name: [asdict(sample) for sample in rounds] for name, rounds in samples.items()},
        }
        output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _recipe(variant: str, crops: str, out_dim: int, batch_size: int, precision: str) -> Recipe:
    from radiodino.train.pretrain.recipe import preset

    try:
        wide, narrow, count = (int(part) for part in crops.split(","))
    except ValueError:
        raise InputError(f"--crops must be three whole numbers such as 224,96,8, not '{crops}'") from None
    recipe = preset("dino", variant)
    return replace(
        recipe,
        batch_size=batch_size,
        precision=precision,
        crops=replace(recipe.crops, global_size=wide, local_size=narrow, local_count=count),
        head=replace(recipe.head, out_dim=out_dim),
    )


def _print(samples: dict[str, list[Sample]], device: str, job: Job) -> None:
    from rich.table import Table

    from .contest import OFFICIAL, OFFICIAL_ALONE
    from .print_table import print_table
    from .step_summary import summarise

    recipe, crops = job.recipe, job.recipe.crops
    table = Table(
        "",
        "images/s",
        "slowest – fastest",
        "× official style",
        "× its step alone",
        "waiting for data",
        "peak memory (MiB)",
        title=f"{recipe.variant}, 2 × {crops.global_size} + {crops.local_count} × {crops.local_size} px, "
        f"{recipe.head.out_dim} outputs, batch {recipe.batch_size}, {recipe.precision}"
        + (f" (official style {job.official_precision})" if job.official_precision != recipe.precision else "")
        + f"\n{device}, {job.threads} threads, {job.workers} data workers, PyTorch {metadata.version('torch')}",
    )
    for name, row in summarise(samples, [OFFICIAL, OFFICIAL_ALONE]).items():
        table.add_row(
            name,
            f"{row.images_per_second:.1f}",
            f"{row.slowest:.1f} – {row.fastest:.1f}",
            *(f"{ratio:.2f}" for ratio in row.ratios),
            f"{row.waiting:.0%}",
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
        )
    print_table(table)


def command() -> NoReturn:
    """The command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)


if __name__ == "__main__":
    command()
