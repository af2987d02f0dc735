r"""CSV files: UTF-8 with ``\n`` at the end of a line.

Floats are the shortest decimals that give the same float32 again. Text that a spreadsheet would run as a formula (it
begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return and is no number) gets an apostrophe in front, and so
does such text that has apostrophes in front already: to read a cell of that kind exactly, take one apostrophe away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .results import Results

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_csv(path: Path, results: Results) -> None:
    """The table of `results`: ``filename,label,f0,f1,…``."""
    with path.open("w", encoding="utf-8", newline="") as file:
        columns = [f"f{index}" for index in range(results.embeddings.shape[1])]
        file.write(",".join(["filename", "label", *columns]) + "\n")
        for names, labels, embeddings in results.chunks():
            for name, label, row in zip(names, labels, embeddings, strict=True):
                file.write(",".join([_cell(name), _cell(label), *map(str, row)]) + "\n")


def write_texts(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table of texts."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(",".join(map(_cell, row)) + "\n" for row in (header, *rows))


def _cell(text: str) -> str:
    """`text` as a CSV cell that no spreadsheet takes for a formula."""
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(character in text for character in ',"\r\n') else text
