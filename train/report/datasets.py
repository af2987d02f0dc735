"""Which of the paper's data sets a run used: by the name of its inputs, or as the user says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from radiodino.runtime.errors import InputError

from .paper_numbers import TABLE_1

OTHER = "other"
"""Said of data that are none of the paper's, whatever their name."""

_WORDS = {name.lower(): name for name in TABLE_1}
_ALIASES = {"radiology_ai": "RadImageNet"}  # the folder of its archive


def recognised(inputs: Sequence[str]) -> str | None:
    """The data set of the paper that all `inputs` are named after: ``busi_256.zip``, ``medmnist:breastmnist:224``.

    A name counts where it stands as a word of its own in the last part of the path. None where there are no inputs, one
    is named after none or several, or they are named after different ones.
    """
    found = {_named(text) for text in inputs}
    return found.pop() if len(found) == 1 else None


def _named(text: str) -> str | None:
    last = last_part(text).lower()
    words = set(re.split(r"[^a-z0-9]+", last))
    found = {name for word, name in _WORDS.items() if word in words}
    found |= {name for alias, name in _ALIASES.items() if last == alias}
    return found.pop() if len(found) == 1 else None


def last_part(text: str) -> str:
    """What a person calls an input: the last part of its path; ``medmnist:…`` whole."""
    if text.startswith("medmnist:"):
        return text
    return text.replace("\\", "/").rstrip("/").rpartition("/")[2] or text


def parse_datasets(typed: Sequence[str], folders: Sequence[Path]) -> dict[Path, str]:
    """``FOLDER=BUSI`` and the like: the data set by the resolved path of the folder.

    Args:
        typed: as on the command line; a name of the paper's, in any case, or ``other``.
        folders: those that the report is of.

    Raises:
        InputError: where one has no such form, names no such folder or data set, or a folder has two.
    """
    known = {folder.resolve() for folder in folders}
    names = {**_WORDS, OTHER: OTHER}
    found: dict[Path, str] = {}
    for text in typed:
        folder, equals, name = text.rpartition("=")
        if not equals or name.lower() not in names:
            raise InputError(
                f"'{text}' names no data set: give --dataset FOLDER=NAME with one of {', '.join(names.values())}"
            )
        place = Path(folder).resolve()
        if place not in known:
            raise InputError(f"--dataset names {folder}, of which this report is not: name it among the folders too")
        if found.setdefault(place, names[name.lower()]) != names[name.lower()]:
            raise InputError(f"--dataset names two data sets of {folder}: leave one out")
    return found
