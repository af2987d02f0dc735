"""``radiodino-train report``: the paper's tables and figures in our own numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.extras import require


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER…",
            help="Each the --out of knn, finetune, segment, probe or explain, or a pretraining run.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page, one file with all in it.")] = Path(
        "report.html"
    ),
    markdown: Annotated[
        Path | None,
        typer.Option(help="The same as Markdown, by default not written; its pictures go to STEM_pictures beside it."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="FOLDER=NAME where the data's name does not tell which set of the paper (table 1) they are: BUSI, "
            "PneumoniaMNIST, BreastMNIST, OrganAMNIST, OrganCMNIST, OrganSMNIST, RadImageNet, or other; repeatable."
        ),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            help="Written into the page as it is; by default none, so that the same runs give the same bytes."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write the paper's tables 3 to 10 and figures 4 to 11 in our own numbers (paper, sections 5 to 7).

    The paper's numbers stand beside ours where the data set is the same, with what differs in images, split and
    settings. What no folder holds is named with the command that makes it.
    """
    require("train", "matplotlib")
    from ..report.run import write_report

    try:
        written = write_report(folders, output, markdown=markdown, datasets=dataset or [], date=date, overwrite=force)
    except KeyboardInterrupt:
        ending.fail("interrupted: files that were written are whole", ending.INTERRUPTED)
    for line in written.lines:
        typer.echo(f"read     {line}")
    for notice in written.notices:
        typer.secho(f"WARNING  {notice}", fg="red", bold=True, err=True)
    for file in written.files:
        typer.echo(f"wrote    {file}")
