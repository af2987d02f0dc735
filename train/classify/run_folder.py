"""The folder of a fine-tuning: what it was begun with, and which image was in which part."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.folder import make_folder

from ..data.labelled import LabelledImages
from .folds import Fold

_RUN = "run.json"


def refuse_run(folder: Path) -> None:
    """See that no run lies in the folder.

    Raises:
        OutputError: where one does.
    """
    if (folder / _RUN).exists():
        raise OutputError(f"{folder} holds a run already: add --resume to go on with it, or choose another --out")


def begin(folder: Path, document: dict[str, Any]) -> None:
    """Make the folder, or see that the run there was begun in the same way.

    Args:
        folder: of the run.
        document: plain values; all that decides the result.

    Raises:
        OutputError: where the folder cannot be written.
        InputError: where the run there is another one, or cannot be read.
    """
    known = folder / _RUN
    if known.exists():
        try:
            before = dict(json.loads(known.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{known} cannot be read ({error}): choose another --out") from None
        for name, value in json.loads(json.dumps(document)).items():
            if before.get(name) != value:
                raise InputError(
                    f"the run in {folder} was begun with other {_WORDS[name]}: resume with what its {_RUN} says, or "
                    "choose another --out"
                )
        return
    make_folder(folder)
    with atomic_path(known, overwrite=True) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


_WORDS = {
    "recipe": "settings",
    "inputs": "--data",
    "weights": "weights",
    "split": "fractions, split seed or group",
    "images": "images, classes or splits",
}


def digest(labelled: LabelledImages) -> str:
    """A SHA-256 of which images there are, with class and split."""
    found = hashlib.sha256()
    for key, target, split in zip(labelled.images.keys, labelled.targets, labelled.splits, strict=True):
        found.update(f"{key}\0{labelled.classes[target]}\0{split}\n".encode())
    return found.hexdigest()


def fold_folder(folder: Path, number: int) -> Path:
    """Where the fold of this number, from 1, is kept."""
    return folder / f"fold-{number}"


def write_images(folder: Path, labelled: LabelledImages, folds: tuple[Fold, ...]) -> None:
    """Write ``images.csv``: name, class, split, and the fold that validates on it, empty where none does.

    Raises:
        OutputError: where it cannot be written.
    """
    validates = {int(index): number for number, fold in enumerate(folds, 1) for index in fold.val}
    with (
        atomic_path(folder / "images.csv", overwrite=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(("name", "class", "split", "fold"))
        for index, (name, target, split) in enumerate(
            zip(labelled.images.names, labelled.targets, labelled.splits, strict=True)
        ):
            writer.writerow((name, labelled.classes[target], split, validates.get(index, "")))
