"""From folders of results to a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from radiodino.runtime.atomic import atomic_path, refuse_existing
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.folder import make_folder
from radiodino.runtime.machine import this_machine

from .blocks import Page
from .compose import compose
from .datasets import parse_datasets
from .html_page import as_html
from .markdown_page import as_markdown
from .material import Material
from .outcomes import read_outcomes

_PACKAGES = ("radiodino", "matplotlib")


@dataclass(frozen=True)
class Written:
    """What a report was written as."""

    files: tuple[Path, ...]
    """The HTML file; the Markdown file and its folder of pictures, where they were asked for."""
    lines: tuple[str, ...]
    """For the user: each run, and which data set of the paper it is taken for."""
    notices: tuple[str, ...]
    """What must be said of the weights, see `radiodino.runtime.notice`."""


def write_report(
    folders: Sequence[Path],
    output: Path,
    *,
    markdown: Path | None = None,
    datasets: Sequence[str] = (),
    date: str | None = None,
    overwrite: bool = False,
) -> Written:
    """Write the tables and figures of the paper in the numbers of `folders`.

    The same folders give the same bytes on the same machine: nothing in it is of the time of writing but `date`.

    Args:
        folders: each the ``--out`` of ``knn``, ``finetune``, ``segment``, ``probe`` or ``explain`` (or of several), or
            a pretraining run.
        output: the HTML file.
        markdown: the same as Markdown; its pictures go to the folder ``STEM_pictures`` beside it.
        datasets: ``FOLDER=NAME`` where the inputs' names do not tell the data set, or tell it wrongly.
        date: a text that is written into the page.
        overwrite: whether files that exist may be replaced.

    Raises:
        InputError: where a folder is missing, holds no results, or results that cannot be read; or a data set is
            unknown.
        OutputError: where a file exists and may not be replaced, or cannot be written.
    """
    pictures = None if markdown is None else markdown.with_name(f"{markdown.stem}_pictures")
    if markdown is not None and markdown.resolve() == output.resolve():
        raise OutputError(f"{output} is named for both HTML and Markdown: name two files")
    for file in (output, markdown):
        if file is not None:
            refuse_existing(file, overwrite=overwrite)
    said = parse_datasets(datasets, folders)
    outcomes = read_outcomes(folders)
    beside = {outcome.folder.resolve() for outcome in outcomes.each() if outcome.task != "pretrain"}
    for folder in said:
        if folder not in beside:
            raise InputError(f"--dataset names {folder}, a pretraining run, which has no such data set: leave it out")
    material = Material(outcomes, said)
    versions = {name: metadata.version(name) for name in _PACKAGES}
    page = compose(material, date=date, versions=versions, machine=this_machine())

    if pictures is not None and markdown is not None:
        _write_pictures(page, pictures, overwrite)
        _write(markdown, as_markdown(page, pictures.name), overwrite)
    _write(output, as_html(page), overwrite)
    files = [file for file in (output, markdown, pictures) if file is not None]
    notices = dict.fromkeys(model.notice for model in material.register.models if model.notice)
    return Written(tuple(files), tuple(_lines(material)), tuple(notices))


def _write(path: Path, text: str, overwrite: bool) -> None:
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def _write_pictures(page: Page, folder: Path, overwrite: bool) -> None:
    found = page.pictures()
    if not found:
        return
    make_folder(folder)
    for picture in found:
        refuse_existing(folder / f"{picture.name}.png", overwrite=overwrite)
    for picture in found:
        with atomic_path(folder / f"{picture.name}.png", overwrite=overwrite) as temporary:
            temporary.write_bytes(picture.png)


def _lines(material: Material) -> list[str]:
    found = []
    for outcome in material.outcomes.each():
        data = "" if outcome.task == "pretrain" else f", data set: {material.used(outcome).recognition}"
        found.append(f"{outcome.name}: {outcome.task}{data}")
    return found
