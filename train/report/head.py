"""What stands before the tables: the runs, their models, versions and machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radiodino.runtime.machine import Machine

from .blocks import DISCLAIMER, Block, Facts, Notice, Row, Section, Table, Text
from .cells import NO_NUMBER
from .datasets import last_part
from .material import Material
from .outcomes import Outcome

_COMMANDS = {
    "pretrain": "pretraining",
    "knn": "nearest neighbours",
    "finetune": "fine-tuning",
    "probe": "probe at several image sizes",
    "segment": "segmentation",
    "explain": "pictures",
}


def lead(material: Material, date: str | None) -> tuple[Block, ...]:
    """What must be read first. The register of models must be complete."""
    blocks: list[Block] = [Notice(DISCLAIMER)]
    blocks += material.notices(material.register.models)
    blocks.append(
        Text(
            "The tables 3 to 10 and figures 4 to 11 of the paper (Zedda, Loddo, Di Ruberto: Radio DINO, Computers in "
            "Biology and Medicine 195, 2025) in our own numbers. The paper's numbers stand below ours where the data "
            "set is the same one; the notes below each table say which images were used. Numbers of other images, "
            "splits or settings do not measure the same, even where the data set has the same name."
        )
    )
    if date is not None:
        blocks.append(Text(f"Date: {date}."))
    return tuple(blocks)


def head(material: Material, versions: Mapping[str, str], machine: Machine) -> tuple[Section, ...]:
    """Runs, models, and machine. The register of models must be complete.

    Args:
        material: what the report is of.
        versions: of the packages that write this page.
        machine: that writes this page.
    """
    return (
        Section("runs", "Runs", (_runs(material), *_versions(material))),
        Section("models", "Models", _models(material)),
        Section("machine", "Machine", _machine(material, versions, machine)),
    )


def _runs(material: Material) -> Table:
    rows = []
    for outcome in material.outcomes.each():
        if outcome.task == "pretrain":
            data = ", ".join(dict.fromkeys(map(last_part, outcome.document.inputs)))
            known = NO_NUMBER
        else:
            used = material.used(outcome)
            data, known = used.names, used.recognition
        rows.append(Row((outcome.name, _COMMANDS[outcome.task], data, known)))
    return Table("The folders that this page is of.", ("From", "Results", "Data", "Data set"), tuple(rows), texts=4)


def _versions(material: Material) -> tuple[Block, ...]:
    found: dict[str, list[str]] = {}
    for outcome in material.outcomes.each():
        names = found.setdefault(_in_words(outcome.document.versions), [])
        if outcome.name not in names:
            names.append(outcome.name)
    return (Facts(tuple((f"Versions ({', '.join(names)})", versions) for versions, names in found.items())),)


def _models(material: Material) -> tuple[Block, ...]:
    models = material.register.models
    if not models:
        return (Text("None of the runs is of a finished model."),)
    rows = [
        Row(
            (
                f"M{number}",
                model.name,
                model.kind,
                model.sha256 or NO_NUMBER,
                model.licence or "not stated",
                model.detail,
            )
        )
        for number, model in enumerate(models, 1)
    ]
    columns = ("No.", "Model", "Weights", "SHA-256", "Licence stated at the source", "What was taken")
    caption = "Variant and weights, as each run recorded them. Tables call them by the number."
    return (Table(caption, columns, tuple(rows), texts=6),)


def _machine(material: Material, versions: Mapping[str, str], machine: Machine) -> tuple[Block, ...]:
    devices: dict[str, list[str]] = {}
    for name, device in _devices(material):
        names = devices.setdefault(device, [])
        if name not in names:
            names.append(name)
    memory = "not known" if machine.memory_gib is None else f"{machine.memory_gib:g} GiB"
    computed = [(f"Computed by ({', '.join(names)})", device) for device, names in devices.items()]
    return (
        Facts(
            (
                *computed,
                ("This page was written by", _in_words(versions)),
                ("On", f"{machine.processor}, {machine.architecture}, {machine.system}"),
                ("With", f"{machine.usable_cores} cores, {memory} memory"),
                ("Instruction sets", ", ".join(machine.instruction_sets) or "not known"),
            )
        ),
        Text("The runs record the device that computed, and not the machine; it may have been another than this."),
    )


def _devices(material: Material) -> list[tuple[str, str]]:
    outcomes = material.outcomes
    features: list[Outcome[Any]] = [*outcomes.knn, *outcomes.probe]
    others: list[Outcome[Any]] = [*outcomes.segment, *outcomes.explain]
    found = [(run.name, row.source.device) for run in features for row in run.document.results.rows]
    return found + [(run.name, run.document.settings.device) for run in others]


def _in_words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
