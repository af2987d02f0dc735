"""The result of a run as a file: ``.npz``, ``.csv`` or ``.parquet``, with what belongs beside it.

| file              | holds                                                                                         |
|-------------------|-----------------------------------------------------------------------------------------------|
| ``OUT.npz``       | ``embeddings`` float32 (n, D), ``filenames`` and ``labels`` (n,) unicode, ``provenance`` JSON |
| ``OUT.csv``       | columns ``filename,label,f0,f1,…``; the provenance is in ``OUT.csv.info.json``                |
| ``OUT.parquet``   | the same columns, ``f…`` as float32; the provenance is in the schema's metadata (``radiodino``) |
| ``….errors.csv``  | ``filename,reason`` of each input that could not be read, where there are any                 |
| ``….notices.csv`` | ``filename,notice`` of each row that has one, where there are any                             |

A row of a file with several frames is called ``FILE#FRAME``. Each file appears whole or not at all, the table last; all
of them are written in pieces, so their size is not bounded by the memory. `table_csv` says how text is written in CSV;
the other formats hold every text as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from ..atomic import atomic_path, refuse_existing
from ..errors import InputError
from .results import Results
from .table_csv import write_csv, write_texts
from .table_npz import write_npz
from .table_parquet import require_pyarrow, write_parquet

_Write: TypeAlias = "Callable[[Path], None]"

_WRITERS: dict[str, Callable[[Path, Results], None]] = {
    ".npz": write_npz,
    ".csv": write_csv,
    ".parquet": write_parquet,
}


def refuse_output(output: Path, *, force: bool, resume: bool, suffixes: Collection[str] = tuple(_WRITERS)) -> None:
    """Say early, before any work is done, that the table could not be written.

    Args:
        output: the table to write.
        force: whether files of an earlier run may be replaced.
        resume: whether files beside the table may be those of the run that is gone on with.
        suffixes: those there are.

    Raises:
        InputError: the suffix is not one of them.
        MissingExtraError: ``.parquet`` is wanted and pyarrow is not installed.
        OutputError: a file is there already, or cannot be written.
    """
    if output.suffix.lower() not in suffixes:
        found = f"'{output.suffix}'" if output.suffix else "no suffix"
        raise InputError(f"{output} has {found}: name an --output that ends in {', '.join(suffixes)}")
    if output.suffix.lower() == ".parquet":
        require_pyarrow()
    refuse_with_texts(output, force=force, resume=resume)
    refuse_existing(info_path(output), overwrite=force or resume)


def refuse_with_texts(output: Path, *, force: bool, resume: bool) -> None:
    """Say early that `write_with_texts` could not write `output` and what belongs beside it.

    Raises:
        OutputError: a file is there already, or cannot be written.
    """
    refuse_existing(output, overwrite=force)
    for beside in (errors_path(output), notices_path(output)):
        refuse_existing(beside, overwrite=force or resume)


def errors_path(output: Path) -> Path:
    """Where the unreadable inputs of `output` are listed."""
    return output.with_name(f"{output.name}.errors.csv")


def notices_path(output: Path) -> Path:
    """Where the notices of the rows of `output` are listed."""
    return output.with_name(f"{output.name}.notices.csv")


def info_path(output: Path) -> Path:
    """Where the provenance of `output` lies, if that is a ``.csv``."""
    return output.with_name(f"{output.name}.info.json")


def write_table(output: Path, results: Results, *, force: bool) -> list[Path]:
    """Write the table and what belongs beside it; remove from beside it what an earlier run left.

    Args:
        output: the table, of one of the three suffixes.
        results: at least one row.
        force: whether an existing table may be replaced.

    Returns:
        The files that were written, the table first.

    Raises:
        InputError, MissingExtraError: as `refuse_output`.
        OutputError: a file cannot be written; the table has not appeared or changed then.
    """
    refuse_output(output, force=force, resume=True)
    is_csv = output.suffix.lower() == ".csv"
    info = {info_path(output): partial(write_info, results=results) if is_csv else None}
    return write_with_texts(
        output, results, lambda path: _WRITERS[output.suffix.lower()](path, results), force=force, also=info
    )


def write_with_texts(
    output: Path,
    results: Results,
    write: _Write,
    *,
    force: bool,
    also: Mapping[Path, _Write | None] = MappingProxyType({}),
) -> list[Path]:
    """Write a file of any kind, and beside it the lists of unreadable inputs and of notices, where there are any.

    Args:
        output: the file.
        results: what was found.
        write: writes the file to the path that it is given.
        force: whether an existing file may be replaced.
        also: further files and what writes each, None where it shall not be there.

    Returns:
        The files that were written, `output` first.

    Raises:
        OutputError: a file cannot be written; `output` has not appeared or changed then.
    """
    beside = {
        errors_path(output): _text_writer("reason", results.errors),
        notices_path(output): _text_writer("notice", results.notices),
        **also,
    }
    with atomic_path(output, overwrite=force) as temporary:
        write(temporary)
        for path, write_beside in beside.items():
            if write_beside is None:
                path.unlink(missing_ok=True)
            else:
                with atomic_path(path, overwrite=True) as temporary_beside:
                    write_beside(temporary_beside)
    return [output, *(path for path, write_beside in beside.items() if write_beside is not None)]


def _text_writer(column: str, rows: Callable[[], Iterator[tuple[str, str]]]) -> _Write | None:
    """What writes `rows`, or None where there are none."""
    if next(rows(), None) is None:
        return None
    return lambda path: write_texts(path, ("filename", column), rows())


def write_info(path: Path, results: Results) -> None:
    """Write the provenance as JSON."""
    path.write_text(results.provenance_json(indent=2) + "\n", encoding="utf-8")
