"""Folders of evaluations and pretraining runs, read into typed documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from radiodino.runtime.errors import InputError

from ..explain.page import short_names
from .explain_document import ExplainDocument
from .finetune_document import FinetuneDocument
from .knn_document import KnnDocument
from .loss_log import LossLog, read_loss_log
from .needed import needed, read_json
from .pretrain_document import PretrainDocument, PretrainRecipe
from .probe_document import ProbeDocument
from .segment_document import SegmentDocument

_D = TypeVar("_D")

_DOCUMENTS: dict[str, type[Any]] = {
    "knn": KnnDocument,
    "finetune": FinetuneDocument,
    "segment": SegmentDocument,
    "probe": ProbeDocument,
    "explain": ExplainDocument,
}
_BEGUN = {"run.json": "finetune", "training-*.state": "segment", "recipe.json": "pretrain"}
"""Files of a run that has no results yet."""


@dataclass(frozen=True)
class Outcome(Generic[_D]):
    """What one command wrote."""

    folder: Path
    name: str
    """The last part of the folder's path; more of it where two folders end in the same."""
    task: str
    """The command."""
    document: _D

    @property
    def file(self) -> Path:
        """Where the document came from."""
        return self.folder / ("recipe.json" if self.task == "pretrain" else f"{self.task}.json")


@dataclass(frozen=True)
class PretrainRun:
    """What a pretraining run left."""

    recipe: PretrainRecipe
    inputs: tuple[str, ...]
    versions: dict[str, str]
    log: LossLog


@dataclass(frozen=True)
class Outcomes:
    """All of them, by command, in the order of the folders."""

    knn: tuple[Outcome[KnnDocument], ...]
    finetune: tuple[Outcome[FinetuneDocument], ...]
    segment: tuple[Outcome[SegmentDocument], ...]
    probe: tuple[Outcome[ProbeDocument], ...]
    explain: tuple[Outcome[ExplainDocument], ...]
    pretrain: tuple[Outcome[PretrainRun], ...]

    def each(self) -> list[Outcome[Any]]:
        """All of them."""
        return [*self.pretrain, *self.knn, *self.finetune, *self.probe, *self.segment, *self.explain]


def read_outcomes(folders: Sequence[Path]) -> Outcomes:
    """What lies in `folders`: the results of one or several commands in each.

    Raises:
        InputError: where a folder is missing, named twice, or holds no results; or a file in it is not what its command
            writes.
    """
    if not folders:
        raise InputError("name the folders of results: the --out of knn, finetune, segment, probe, explain, pretrain")
    resolved = [folder.resolve() for folder in folders]
    for place, folder in enumerate(resolved):
        if folder in resolved[:place]:
            raise InputError(f"{folders[place]} was given twice: leave one out")
    names = short_names([folder.as_posix() for folder in resolved])
    found: dict[str, list[Outcome[Any]]] = {task: [] for task in (*_DOCUMENTS, "pretrain")}
    for folder, name in zip(folders, names, strict=True):
        for outcome in _read_folder(folder, name):
            found[outcome.task].append(outcome)
    return Outcomes(**{task: tuple(own) for task, own in found.items()})


def _read_folder(folder: Path, name: str) -> list[Outcome[Any]]:
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {problem}: name a folder of results, the --out of a command")
    found: list[Outcome[Any]] = [
        _read_document(folder, name, task, kind)
        for task, kind in _DOCUMENTS.items()
        if (folder / f"{task}.json").exists()
    ]
    recipe, log = folder / "recipe.json", folder / "log.csv"
    if recipe.exists() and log.exists():
        begun = needed(PretrainDocument, read_json(recipe), recipe, "radiodino-train pretrain")
        run = PretrainRun(begun.recipe, begun.inputs, begun.versions, read_loss_log(log))
        found.append(Outcome(folder, name, "pretrain", run))
    if found:
        return found
    for pattern, task in _BEGUN.items():
        if any(folder.glob(pattern)):
            raise InputError(
                f"{folder} holds a run of radiodino-train {task} that has no results yet: finish it with --resume, or "
                "leave the folder out"
            )
    raise InputError(
        f"{folder} holds no results ({', '.join(f'{task}.json' for task in _DOCUMENTS)}, or a pretraining run's "
        "recipe.json and log.csv): name the --out of a command"
    )


def _read_document(folder: Path, name: str, task: str, kind: type[Any]) -> Outcome[Any]:
    path, command = folder / f"{task}.json", f"radiodino-train {task}"
    data = read_json(path)
    if isinstance(data, dict) and data.get("task", task) != task:
        raise InputError(
            f"{path} holds the results of '{data['task']}', not of '{task}': give the file its own name again"
        )
    return Outcome(folder, name, task, needed(kind, data, path, command))
