"""The folder of a pretraining run: its resolved recipe, its log, its checkpoint, and the version of the code."""

from __future__ import annotations

import csv
import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.folder import make_folder

from ..weights.read_checkpoint import find_checkpoint
from ..weights.sha256 import file_sha256
from .recipe import Recipe, as_document

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_RECIPE, _LOG, _CHECKPOINT = "recipe.json", "log.csv", "checkpoint.pth"
_COLUMNS = ("step", "epoch", "loss", "learning_rate", "weight_decay", "momentum", "temperature", "images_per_second",
            "waiting_share")  # fmt: skip


class RunFolder:
    """What a run writes; only rank 0 writes.

    Args:
        path: the folder.
        recipe: resolved.
        inputs: what the run was given, as typed.
        split: the split of them that it takes; None: all.
        start: the run whose networks it begins with; None: random ones.
        resume: whether to go on with a run that lies there.

    Raises:
        OutputError: where the folder holds a run and `resume` is not given, or cannot be written.
        InputError: where the run there has another recipe.
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        inputs: list[str],
        *,
        split: str | None = None,
        start: Path | None = None,
        resume: bool,
    ) -> None:
        self.path = path
        self.checkpoint = path / _CHECKPOINT
        document = {
            "recipe": as_document(recipe),
            "inputs": inputs,
            "split": split,
            "start": None if start is None else {"path": str(start), "sha256": file_sha256(find_checkpoint(start))},
            "versions": {name: metadata.version(name) for name in ("radiodino", "torch", "timm")},
        }
        known = path / _RECIPE
        if known.exists():
            self._refuse_other(known, document, resume)
        make_folder(path)
        with atomic_path(known, overwrite=True) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        self._board: SummaryWriter | None = None

    def _refuse_other(self, known: Path, document: dict[str, Any], resume: bool) -> None:
        if not resume:
            raise OutputError(
                f"{self.path} holds a run already: add --resume to go on with it, or choose another --out"
            )
        before = json.loads(known.read_text(encoding="utf-8"))
        for part in ("recipe", "inputs", "split", "start"):
            if before.get(part) != document[part]:
                raise InputError(
                    f"the run in {self.path} was begun with another {part.rstrip('s')}: resume with what its "
                    f"{_RECIPE} says, or choose another --out"
                )

    def cut_log(self, step: int) -> None:
        """Drop what was logged from `step` on: those steps are computed again."""
        log = self.path / _LOG
        rows: list[list[str]] = []
        if log.exists():
            with log.open(newline="", encoding="utf-8") as stream:
                rows = [row for row in list(csv.reader(stream))[1:] if len(row) == len(_COLUMNS) and int(row[0]) < step]
        with atomic_path(log, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([_COLUMNS, *rows])

    def log(self, **values: float) -> None:
        """Append one row to the log and to TensorBoard, where it is installed."""
        with (self.path / _LOG).open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerow([f"{values[name]:.8g}" for name in _COLUMNS])
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=int(values["step"]))
        for name in _COLUMNS[2:]:
            self._board.add_scalar(name, values[name], int(values["step"]))
