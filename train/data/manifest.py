"""Manifests: tables that name images one a row, with their labels and splits, in CSV (UTF-8) or Parquet.

Columns: ``path`` (required), ``label``, ``split`` (``train``, ``val`` or ``test``; ``valid`` and ``validation`` are
``val``; empty where unknown). RadImageNet's own tables, with ``filename`` and ``label``, are read as well; their files
are called ``RadiologyAI_train.csv``, ``RadiologyAI_val.csv`` and ``RadiologyAI_test.csv``, which says the split. A
column without a name, as an index that was written too, is skipped; any other is refused.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

_COLUMNS = ("path", "label", "split")
_SPLITS = {"": "", "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_RADIMAGENET = {f"radiologyai_{split}": split for split in ("train", "val", "test")}


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a manifest."""

    path: str
    """Of a file, or of an image in an archive or set, with ``/``; relative to the manifest's folder, or absolute."""
    label: str = ""
    split: str = ""


def is_manifest(typed: str) -> bool:
    """Whether an input is called like a manifest, and is a file or at least no folder and no glob."""
    if not typed.lower().endswith((".csv", ".parquet")):
        return False
    return os.path.isfile(typed) or not (os.path.isdir(typed) or any(character in typed for character in "*?["))


def read_manifest(path: str) -> Iterator[Row]:
    """The rows of the manifest at `path`, one after the other.

    Raises:
        InputError: it is missing, no such table, has no or unknown columns, or a row has no path, another number of
            fields or an unknown split.
        MissingExtraError: for Parquet, where pyarrow is not installed.
    """
    rows = _parquet_rows(path) if path.lower().endswith(".parquet") else _csv_rows(path)
    _, header = next(rows, (0, ()))
    places = _places(path, header)
    given = _RADIMAGENET.get(os.path.splitext(os.path.basename(path))[0].lower(), "") if "filename" in header else ""
    take = [_taker(places.get(name)) for name in _COLUMNS]
    for number, fields in rows:
        if len(fields) != len(header):
            raise InputError(
                f"row {number} of {path} has {len(fields)} fields, expected {len(header)} as in its first row: put "
                'those that hold a comma between "'
            )
        name, label, split = (taken(fields) for taken in take)
        if not name:
            raise InputError(f"row {number} of {path} names no image: give its path, or take the row out")
        known = _SPLITS.get(split.strip().lower())
        if known is None:
            raise InputError(f"row {number} of {path} has the split '{split}': expected train, val or test, or nothing")
        yield Row(name, label, known or given)


def write_manifest(path: Path, rows: Iterable[Row], *, overwrite: bool) -> None:
    """Write a CSV manifest that `read_manifest` reads back; it appears whole or not at all.

    Raises:
        InputError: a path or label cannot be written in UTF-8, or `path` does not end in ``.csv``.
        OutputError: it exists and may not be replaced, or cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path} must end in .csv: a manifest is known by that")
    with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(_COLUMNS)
        for row in rows:
            try:
                table.writerow([row.path, row.label, row.split])
            except UnicodeEncodeError:
                raise InputError(f"{row.path!r} is no name in UTF-8 and cannot be written: rename the file") from None


def _places(path: str, header: Sequence[str]) -> dict[str, int]:
    """At which place each column is."""
    found = ", ".join(name or "one without a name" for name in header) or "none"
    expected = "path, and optionally label and split (or filename and label, as RadImageNet's own)"
    names = ["path" if name == "filename" else name for name in header]
    if "path" not in names:
        raise InputError(f"{path} has no column path: expected the columns {expected}, found {found}")
    unknown = [name for name in names if name and name not in _COLUMNS]
    if unknown:
        raise InputError(
            f"{path} has the unknown column{'s'[: len(unknown) > 1]} {', '.join(unknown)}: expected {expected}; take "
            "out what is not among them"
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(f"{path} has the column {twice[0]} twice: found {found}; take one of them out")
    return {name: place for place, name in enumerate(names) if name}


def _taker(place: int | None) -> Callable[[Sequence[str]], str]:
    return (lambda _fields: "") if place is None else (lambda fields: fields[place])


def _csv_rows(path: str) -> Iterator[tuple[int, Sequence[str]]]:
    """The rows with their numbers, the header being row 1."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            for number, fields in enumerate(csv.reader(stream), 1):
                if fields:
                    yield number, fields
    except OSError as error:
        raise InputError(f"cannot read the manifest {path} ({error.strerror or error}): check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8: save it as 'CSV UTF-8'") from None
    except csv.Error as error:
        raise InputError(f"{path} is no readable CSV table ({error}): save it again") from None


def _parquet_rows(path: str) -> Iterator[tuple[int, Sequence[str]]]:
    require("parquet", "pyarrow")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            yield 1, table.schema_arrow.names
            number = 1
            for batch in table.iter_batches(1 << 14):
                for fields in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield number, [_text(value, path, number) for value in fields]
    except OSError as error:
        raise InputError(f"cannot read the manifest {path} ({error.strerror or error}): check the path") from None
    except pyarrow.ArrowException as error:
        raise InputError(
            f"{path} is no readable Parquet table ({' '.join(str(error).split())}): save it again"
        ) from None


def _text(value: Any, path: str, number: int) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"row {number} of {path} holds {value!r}: save its columns as text, or labels as whole numbers")
