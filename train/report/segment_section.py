"""Table 10: segmentation heads on frozen features (paper, section 7.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .blocks import Block, Missing, Row, Section, Table, Text
from .cells import NO_NUMBER, differences, percent
from .material import Material
from .models import Model, from_weights
from .outcomes import Outcome
from .paper_numbers import BUSI, TABLE_10
from .paper_recipes import SEGMENT, SEGMENT_SIZE
from .segment_document import SegmentDocument

_COLUMNS = ("Model", "From", "Over", "Dice (%)", "IoU (%)", "Trainable parameters (M)", "Head's GMACs")
_HEADS = {"paper": "the paper's head", "lite": "lite head, which is not the paper's"}

_Runs = Sequence[Outcome[SegmentDocument]]


def table_10(material: Material) -> Section:
    """The table, once for each data set."""
    blocks: list[Block] = []
    for data, runs in material.by_data(material.outcomes.segment, BUSI).items():
        blocks += _data_set(material, data, runs)
    if not blocks:
        blocks.append(
            Missing(
                "None of the folders holds a segmentation. It is made by:",
                "radiodino-train segment --data BUSI.zip --fractions 0.6,0.2,0.2 --head both --out FOLDER",
            )
        )
    return Section("table-10", "Table 10: segmentation on frozen features", tuple(blocks))


def _data_set(material: Material, data: str, runs: _Runs) -> list[Block]:
    rows: list[Row] = []
    models: list[Model] = []
    for run in runs:
        settings, results = run.document.settings, run.document.results
        models.append(from_weights(settings.weights, settings.variant))
        for kind, head in results.heads.items():
            called = f"{material.register.called(models[-1])}, {_HEADS.get(kind, f'{kind} head')}"
            sizes = (f"{head.parameters / 1e6:.2f}", f"{head.gmacs:.2f}")
            for over, group in (("lesion images", head.lesions), ("all test images", head.all)):
                shown = (percent(group.dice, "none"), percent(group.iou, "none"))
                rows.append(Row((called, run.name, f"{over} ({group.images:,})", *shown, *sizes)))
    if data == BUSI:
        caption = "Table 10: segmentation on BUSI, ours above the paper's."
        rows += [
            Row((name, "paper, table 10", "not stated", dice, iou, parameters, NO_NUMBER), "paper")
            for name, dice, iou, parameters in TABLE_10.rows
        ]
    else:
        caption = f"As table 10, on {data}. The paper's table 10 is of BUSI, and is not shown beside other data."
    blocks: list[Block] = [Table(caption, _COLUMNS, tuple(rows), texts=3), *material.notices(models)]
    blocks += [Text(_note(material, run)) for run in runs]
    if data == BUSI:
        blocks.append(
            Text(
                "The paper does not say whether its Dice is a mean over images or of all pixels together, nor whether "
                "images without a lesion count. Ours are means over images."
            )
        )
    return blocks


def _note(material: Material, run: Outcome[SegmentDocument]) -> str:
    used, settings, results = material.used(run), run.document.settings, run.document.results
    parts = [f"{run.name}: {used.in_words}"]
    if used.dataset == BUSI and used.beside_the_paper:
        parts.append(used.beside_the_paper)
    size = "" if settings.image_size == SEGMENT_SIZE else f" (paper: {SEGMENT_SIZE} px)"
    parts.append(
        f"{settings.image_size} px{size}; the backbone is frozen and takes {results.backbone_gmacs:.2f} GMACs. "
        f"{settings.empty_masks[:1].upper()}{settings.empty_masks[1:]}."
    )
    for kind, head in results.heads.items():
        empty = head.no_lesion
        found = (
            f", {percent(empty.dice)} % of {empty.images:,} images without a lesion found empty" if empty.images else ""
        )
        parts.append(
            f"{kind} head: best epoch {head.best_epoch} of {head.epochs}, threshold {head.threshold:.2f}, the "
            f"validation images' best{found}."
        )
    if "paper" in results.heads:
        parts.append(_training((settings.recipe or {}).get("paper")))
    return " ".join(parts)


def _training(recipe: Any) -> str:
    """How the paper's head was trained."""
    if not isinstance(recipe, dict):
        return "How the paper's head was trained is not recorded."
    others = differences(recipe, SEGMENT)
    if others:
        return f"The paper's head was trained unlike the paper: {', '.join(others)}."
    return "The paper's head was trained with the numbers of the paper's sections 7.2 and 4.1."
