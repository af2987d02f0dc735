"""What the subcommands that run a model have in common: what they say of it, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .. import console as ending
from ..compute import INT8

if TYPE_CHECKING:
    from ..embed.journal_filler import Progress
    from ..embed.summary import RunSummary
    from ..model import Model

SOME_UNREADABLE = 3
"""Exit status of a run that ended well but could not read every image."""
_PARALLEL = 2
"""Inferences at the same time in a run over many images: threads that share no batch need not wait for each other. Not
where a head makes masks or maps of every image, whose memory would double."""


def open_for_many(
    path: Path, *, backend: str, compute: str | None, threads: int | None, batch_size: int, assume_variant: str | None
) -> Model:
    """A model prepared for a run over many images that makes no masks or maps: `_PARALLEL` batches side by side.

    Raises:
        ModelFileError: see `radiodino.runtime.Model.load`, as for the others.
        BackendError: likewise.
        InputError: likewise.
    """
    from ..model import Model

    return Model.load(
        path,
        backend=backend,
        compute=compute,
        threads=threads,
        batch_size=batch_size,
        parallel=_PARALLEL,
        assume_variant=assume_variant,
    )


def run_and_report(model: Model, activity: str, run: Callable[[Progress], RunSummary]) -> None:
    """Run over many images with a progress bar, and say what came of it.

    Args:
        model: what runs; it is announced first.
        activity: a word before the bar.
        run: the run; it is given what it tells its progress to.

    Raises:
        typer.Exit: with `SOME_UNREADABLE`, where some of the images could not be read.
    """
    from ..progress import progress_bar

    announce(model)
    try:
        with progress_bar(activity) as progress:
            summary = run(progress)
    except KeyboardInterrupt as interrupt:
        ending.fail(str(interrupt) or "interrupted", ending.INTERRUPTED)
    for line in summary.lines():
        typer.echo(line)
    warn(model.info.notice, err=False)  # again, where a log of the run ends
    if summary.unreadable:
        raise typer.Exit(SOME_UNREADABLE)


def announce(model: Model) -> None:
    """Say which model runs in which arithmetic on which engine, and what must be known of it."""
    found = model.info
    arithmetic = f"int8 and {found.compute}" if found.precision in INT8 else found.compute
    typer.echo(
        f"model    {found.paper_name} ({found.variant}), {found.precision}, computing in {arithmetic} on "
        f"{found.backend} {found.backend_version}; {found.weights.name}",
        err=True,
    )
    warn(found.notice, err=True)
    if found.assumed:
        warn(f"the file carries no metadata: taken for '{found.variant}' because you said so", err=True)


def warn(notice: str | None, *, err: bool) -> None:
    """Print what must not be missed, where there is something."""
    if notice:
        typer.secho(f"WARNING  {notice}", fg="red", bold=True, err=err)
