"""``radiodino-run``: what a workstation does with an exported file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console as ending

if TYPE_CHECKING:
    from .model import Model

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run exported Radio DINO files, offline and without PyTorch. Research use only, not for diagnosis.",
)

SOME_UNREADABLE = 3
"""Exit status of a run that ended well but could not read every image."""


@app.command()
def embed(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images (DICOM, PNG, JPEG, TIFF, …), folders, quoted globs, zip archives, .npz image sets."
        ),
    ],
    model: Annotated[Path, typer.Option("--model", "-m", help="A file that radiodino-export wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .npz, .csv or .parquet.")],
    backend: Annotated[str, typer.Option(help="auto, cuda, openvino or onnxruntime.")] = "auto",
    compute: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16; by default it follows the file.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of one inference; by default the cores.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per inference.")] = 8,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Centre and width for DICOM images, in place of the file's own.", metavar="C W"),
    ] = None,
    frame: Annotated[int | None, typer.Option(help="Only this frame of files with several, from 1.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output or unfinished run.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first image that cannot be read.")] = False,
    assume_variant: Annotated[
        str | None, typer.Option(help="For a file without metadata: the variant to take it for.")
    ] = None,
) -> None:
    """Write the embedding of each image to a table.

    An image that cannot be read does not end the run: it is listed at the end and in OUTPUT.errors.csv, and the exit
    status is 3.
    """
    from .embed.run import embed_run
    from .frame import Window
    from .model import Model
    from .progress import progress_bar

    opened = Model.load(model, backend=backend, compute=compute, threads=threads, assume_variant=assume_variant)
    _announce(opened)
    try:
        with progress_bar("embedding") as progress:
            summary = embed_run(
                opened,
                inputs,
                output,
                batch_size=batch_size,
                window=Window(*window) if window else None,
                frame=frame,
                resume=resume,
                force=force,
                strict=strict,
                progress=progress,
            )
    except KeyboardInterrupt as interrupt:
        ending.fail(str(interrupt) or "interrupted", ending.INTERRUPTED)
    for line in summary.lines():
        typer.echo(line)
    _warn(opened.info.notice, err=False)  # again, where a log of the run ends
    if summary.unreadable:
        raise typer.Exit(SOME_UNREADABLE)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A file that radiodino-export wrote.")],
) -> None:
    """Show what a file says of itself, as JSON."""
    from .model_file import read_model_file
    from .model_info import parse_model_info

    file = read_model_file(model)
    if file.document is None:
        ending.fail(f"{model} carries no radiodino metadata: make it with radiodino-export")
    notice = parse_model_info(file.document, model).notice
    shown = {"sha256": file.sha256} | json.loads(file.document) | {"notice": notice}
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    _warn(notice, err=True)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show machine, instruction sets and backends, and what auto would take and why."""
    from .doctor import describe, examine

    found = examine()
    typer.echo(json.dumps(found, indent=2) if as_json else describe(found))


def main() -> None:
    """Entry point of ``radiodino-run``."""
    ending.run(app)


def _announce(model: Model) -> None:
    found = model.info
    typer.echo(
        f"model    {found.paper_name} ({found.variant}), {found.precision}, computing in {found.compute} on "
        f"{found.backend} {found.backend_version}; {found.weights.name}",
        err=True,
    )
    _warn(found.notice, err=True)
    if found.assumed:
        _warn(f"the file carries no metadata: taken for '{found.variant}' because you said so", err=True)


def _warn(notice: str | None, *, err: bool) -> None:
    if notice:
        typer.secho(f"WARNING  {notice}", fg="red", bold=True, err=err)
