"""How a trained head did on the test images: numbers for the record, and a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from radiodino.runtime.variants import Variant

from ..evaluate.outcome import markdown_table
from .heads import Head, parameter_count
from .loop import Trained
from .macs import backbone_macs
from .metrics import EMPTY_CONVENTION, summary
from .pairs import SplitPairs
from .predict import THRESHOLDS, Overlaps, best_threshold, overlaps
from .segmenter import Segmenter


@dataclass(frozen=True)
class Tested:
    """A trained head, and how it did on the test images."""

    head: Head
    trained: Trained
    threshold: float
    validation_dice: float
    test: Overlaps
    """On the test images, at `threshold` and, untuned, at 0.5."""


def tested_head(segmenter: Segmenter, split: SplitPairs, trained: Trained, device: torch.device) -> Tested:
    """Choose the threshold on the validation images, then look at the test images once.

    Args:
        segmenter: in evaluation mode on `device`.
        split: images and masks.
        trained: how its training ended.
        device: where to compute.
    """
    val = overlaps(segmenter, split.pairs, split.places["val"], THRESHOLDS, device).dice
    threshold = best_threshold(val)
    test = overlaps(segmenter, split.pairs, split.places["test"], (threshold, 0.5), device)
    dice = float(val[THRESHOLDS.index(threshold)].mean())
    return Tested(segmenter.head, trained, threshold, dice, test)


def metrics_of(one: Tested, split: SplitPairs) -> dict[str, Any]:
    """Dice and IoU on the test images at the chosen threshold, see `summary`."""
    return _summary(one, 0, split)


def _summary(one: Tested, row: int, split: SplitPairs) -> dict[str, Any]:
    places = split.places["test"]
    labels = [split.pairs.labels[place] for place in places]
    return summary(one.test.dice[row], one.test.iou[row], split.lesions[places], labels)


def results_of(one: Tested, split: SplitPairs) -> dict[str, Any]:
    """All that is known of a head, in plain types; Dice and IoU of each test image among it."""
    places = split.places["test"]
    images = [
        {
            "name": split.pairs.names[place],
            "label": split.pairs.labels[place],
            "lesion": bool(split.lesions[place]),
            "dice": float(dice),
            "iou": float(iou),
        }
        for place, dice, iou in zip(places, one.test.dice[0], one.test.iou[0], strict=True)
    ]
    return {
        "parameters": parameter_count(one.head),
        "gmacs": one.head.macs(split.size) / 1e9,
        "threshold": one.threshold,
        "validation_dice": one.validation_dice,
        "epochs": one.trained.epochs,
        "best_epoch": one.trained.best_epoch,
        "log": list(one.trained.log),
        **metrics_of(one, split),
        "at_half": _summary(one, 1, split),
        "per_image": images,
    }


def table_of(tested: Sequence[Tested], split: SplitPairs, variant: Variant) -> str:
    """The heads side by side as a Markdown table, and in words what its numbers are means of."""
    rows = []
    for one in tested:
        found = metrics_of(one, split)
        empty = found["no_lesion"]
        rows.append(
            [
                one.head.kind,
                f"{parameter_count(one.head) / 1e6:.2f}",
                f"{one.head.macs(split.size) / 1e9:.2f}",
                *(_percent(found[group][name]) for group in ("lesions", "all") for name in ("dice", "iou")),
                _percent(empty["dice"]),
                _percent(_summary(one, 1, split)["lesions"]["dice"]),
                f"{one.threshold:.2f}",
                f"{one.trained.best_epoch} of {one.trained.epochs}",
            ]
        )
    columns = ["head", "parameters (M)", "GMACs", "Dice, lesions (%)", "IoU, lesions (%)", "Dice, all (%)",
               "IoU, all (%)", "empty found empty (%)", "Dice, lesions, at 0.5 (%)", "threshold",
               "best epoch"]  # fmt: skip
    places = split.places["test"]
    size = split.size
    lesions = int(split.lesions[places].sum())
    return "\n\n".join(
        [
            markdown_table(columns, rows),
            f"Means over {len(places)} test images ({size} px; {split.origin}), {lesions} of them with a lesion; "
            f"{EMPTY_CONVENTION}. The threshold is the validation images' best. The backbone ({variant.name}) is "
            f"frozen and takes {backbone_macs(variant, size) / 1e9:.2f} GMACs.",
        ]
    )


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f}"
