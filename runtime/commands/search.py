"""``radiodino-run search``: the most similar cases of an index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .running import announce, warn


def search(
    image: Annotated[str, typer.Argument(help="The image to compare (DICOM, PNG, JPEG, TIFF, …).")],
    index: Annotated[Path, typer.Option("--index", "-i", help="A file that radiodino-run index wrote.")],
    model: options.ModelPath,
    k: Annotated[int, typer.Option("-k", help="How many similar cases.")] = 8,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", help="Write a contact sheet (.png) or the table (.csv, .json) as well; repeatable."
        ),
    ] = None,
    backend: options.Backend = "auto",
    compute: options.Compute = None,
    threads: options.Threads = None,
    window: options.WindowOf = None,
    frame: options.FrameOf = None,
    force: options.Force = False,
    assume_variant: options.AssumeVariant = None,
) -> None:
    """Show the most similar cases of an index.

    The search is exact: of equally similar cases the one that was indexed first comes first. DICOM images are read with
    the grey window that the index was made with, unless --window names another. A contact sheet shows the image and
    pictures of cases: keep it as safe as these.
    """
    from ..atomic import atomic_path, refuse_existing
    from ..errors import InputError
    from ..frame import Window
    from ..index.case_index import CaseIndex
    from ..index.contact_sheet import write_contact_sheet
    from ..index.found import find
    from ..index.notes import other_arithmetic
    from ..index.query import read_query
    from ..model import Model
    from ..notice import marked

    outputs = output or []
    for path in outputs:
        if path.suffix.lower() not in (".png", ".csv", ".json"):
            raise InputError(f"{path} has no known suffix: name an --output that ends in .png, .csv or .json")
        refuse_existing(path, overwrite=force)
    opened_index = CaseIndex.open(index)
    opened = Model.load(model, backend=backend, compute=compute, threads=threads, assume_variant=assume_variant)
    opened_index.refuse_other_model(opened.info.file_sha256, model)
    announce(opened)
    grey = Window(*window) if window else opened_index.window
    provenance = {**opened.provenance(), "options": {"window": vars(grey) if grey else None, "frame": frame}}
    query = read_query(opened, image, window=grey, frame=frame)
    found = find(opened_index, query, k, opened.info.notice)
    write: dict[str, Callable[[Path], None]] = {
        ".png": lambda path: write_contact_sheet(path, found),
        ".csv": found.write_csv,
        ".json": lambda path: found.write_json(path, provenance),
    }
    for path in outputs:
        with atomic_path(path, overwrite=force) as temporary:
            write[path.suffix.lower()](temporary)
    for line in found.lines():
        typer.echo(line)
    for note in (query.frame.notice, other_arithmetic(opened_index, opened.provenance())):
        if note:
            typer.echo(f"note     {note}")
    for path in outputs:
        typer.echo(f"wrote    {path}")
    typer.echo(f"note     {marked()}")
    warn(found.warning, err=False)
    warn(opened.info.notice, err=False)
