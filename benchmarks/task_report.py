"""What `radiodino.benchmarks.task_accuracy` found: a table for people, and all of it for machines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from rich.table import Column, Table

from radiodino.runtime.model_info import ModelInfo
from radiodino.train.data.splits import SplitSettings

from .task_answers import Answers, Figures, dice_of_each
from .task_contestants import Row
from .task_limits import LIMITS, ORIGINAL
from .task_samples import Sample

_NONE = "–"


def recorded(info: ModelInfo) -> dict[str, float | None]:
    """What the trainings of the heads measured on the images they held out, 0..1; None where they recorded nothing.

    Returns:
        ``accuracy``, ``f1``, ``auc``; ``dice`` and ``iou`` of images with a lesion, ``dice_all`` and ``iou_all``.
    """
    classes = info.classifier.metrics if info.classifier else {}
    masks = _of_masks(info.segmenter.metrics if info.segmenter else {})
    return {**{name: classes.get(name) for name in ("accuracy", "f1", "auc")}, **masks}


def _of_masks(truth: dict[str, Any] | None) -> dict[str, float | None]:
    """Of what `radiodino.train.segment.metrics.summary` gives."""
    groups = {"": (truth or {}).get("lesions"), "_all": (truth or {}).get("all")}
    return {name + end: (group or {}).get(name) for end, group in groups.items() for name in ("dice", "iou")}


def table_of(rows: Sequence[Row], info: ModelInfo) -> Table:
    """One line of what was recorded, one for each row."""
    table = Table(
        Column("file", no_wrap=True), Column("engine", no_wrap=True), "computes in",
        "accuracy (%)", "F1 (%)", "AUC (%)", "Dice, IoU of lesions (%)", "of all (%)",
        "same class", "largest |Δp|", "Dice to original", "smallest",
        caption=_caption(rows[0].figures), caption_justify="left",
    )  # fmt: skip
    table.add_row("recorded", "", "", *_percentages(recorded(info)))
    for row in rows:
        one, found = row.contestant, row.figures
        values = {"accuracy": found.accuracy, "f1": found.f1, "auc": found.auc, **_of_masks(found.truth)}
        agreement = _agreement(found) if one.file else ()
        table.add_row(
            one.file or "original", one.engine.partition(" ")[0], one.compute, *_percentages(values), *agreement
        )
    return table


def _percentages(values: dict[str, float | None]) -> tuple[str, ...]:
    said = {name: _NONE if value is None else f"{100 * value:.2f}" for name, value in values.items()}
    pairs = (f"{said['dice' + end]} {said['iou' + end]}" for end in ("", "_all"))
    return said["accuracy"], said["f1"], said["auc"], *pairs


def _agreement(found: Figures) -> tuple[str, ...]:
    return (
        _NONE if found.clear is None else f"{found.same_class} of {found.clear}",
        _NONE if found.class_error is None else f"{found.class_error:.1e}",
        *(_NONE if value is None else f"{value:.5f}" for value in (found.original_dice, found.smallest_dice)),
    )


def _caption(found: Figures) -> str:
    parts = []
    if found.accuracy is not None:
        parts.append(f"accuracy, F1 and AUC: {found.images} images")
    if found.truth is not None:
        lesions, everything = (found.truth[group]["images"] for group in ("lesions", "all"))
        parts.append(f"Dice and IoU: {everything} images, {lesions} of them with a lesion")
    bf16 = LIMITS["fp16", "bf16"].margin
    parts.append(
        f"against the original: {found.compared} images, classes where it is clear by more than {ORIGINAL.margin:g} "
        f"(bf16: {bf16:g})"
    )
    return "; ".join(parts)


def document_of(
    rows: Sequence[Row], samples: Sequence[Sample], info: ModelInfo, split: SplitSettings
) -> dict[str, Any]:
    """All that was found, in plain types, the answers to each image too; fractions in 0..1."""
    return {
        "variant": info.variant,
        "image_size": info.image_size,
        "preprocessing": asdict(info.preprocessing),
        "weights": asdict(info.weights),
        "classifier": None if info.classifier is None else asdict(info.classifier),
        "segmenter": None if info.segmenter is None else asdict(info.segmenter),
        "split": asdict(split),
        "samples": [
            {"kind": sample.kind, "images": len(sample), "origin": sample.origin, "notes": list(sample.notes)}
            for sample in samples
        ],
        "recorded": recorded(info),
        "rows": [_of_row(row, samples) for row in rows],
        "notice": info.notice,
        "intended_use": info.intended_use,
    }


def _of_row(row: Row, samples: Sequence[Sample]) -> dict[str, Any]:
    one = row.contestant
    return {
        "file": one.file or None,
        "engine": one.engine,
        "compute": one.compute,
        "provenance": None if one.model is None else one.model.provenance(),
        "limits": None if one.limits is None else asdict(one.limits),
        "broken": row.broken,
        **asdict(row.figures),
        "per_image": list(_per_image(row.answers, samples)),
    }


def _per_image(found: Answers, samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """The fields of `Answers` for each image, and the Dice of its mask with the original's."""
    columns = {field.name: getattr(found, field.name) for field in fields(Answers)}
    columns["original_dice"] = dice_of_each(found)
    known = {name: values.tolist() for name, values in columns.items() if values is not None}
    named = [(sample, *both) for sample in samples for both in zip(sample.names, sample.labels, strict=True)]
    for number, (sample, name, label) in enumerate(named):
        values = {column: _finite(column_values[number]) for column, column_values in known.items()}
        yield {"sample": sample.kind, "name": name, "label": label or None, **values}


def _finite(value: Any) -> Any:
    """None for what is not a number: a Dice with a mask that is not known."""
    return None if isinstance(value, float) and math.isnan(value) else value
