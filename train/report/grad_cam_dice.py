"""Section 7.4: how far Grad-CAM of a fine-tuned classifier lies on the lesion."""

from __future__ import annotations

from collections.abc import Sequence

from .blocks import Block, Missing, Row, Table, Text
from .cells import NO_NUMBER, percent
from .drawn import Drawn
from .material import Material
from .paper_numbers import BUSI, SECTION_7_4, TABLE_1
from .paper_recipes import GRAD_CAM_THRESHOLD

_COLUMNS = ("Model", "From", "Over", "Dice (%)", "IoU (%)")


def grad_cam_dice(material: Material, pictures: Sequence[Drawn], command: str) -> list[Block]:
    """Tables of Dice and IoU: of BUSI with the paper's number, and of other data.

    Args:
        material: what the report is of.
        pictures: of Grad-CAM.
        command: what compares them with masks, where none was.
    """
    compared = [one for one in pictures if one.grad_cam().overlap]
    if not compared:
        return [Missing("None of these was compared with masks. That is made by:", command)]
    blocks: list[Block] = []
    busi = [one for one in compared if one.dataset == BUSI]
    if busi:
        theirs = tuple(
            Row((name, "paper, section 7.4", "not stated", dice, NO_NUMBER), "paper") for name, dice in SECTION_7_4
        )
        caption = "Section 7.4: Dice of thresholded Grad-CAM with the masks of BUSI, ours above the paper's."
        blocks.append(Table(caption, _COLUMNS, (*_rows(material, busi), *theirs), texts=3))
        blocks += map(_note, busi)
        blocks.append(
            Text(
                f"The paper gives one Dice, and does not say over which of its {TABLE_1[BUSI].total} images of BUSI, "
                "nor what its 20 % are a share of. Ours is over all images with masks that were named, those of the "
                "fine-tuning too, where they are among them."
            )
        )
    others = [one for one in compared if one.dataset != BUSI]
    if others:
        caption = "As section 7.4, on other data than the paper's."
        blocks.append(Table(caption, _COLUMNS, tuple(_rows(material, others)), texts=3))
        blocks += map(_note, others)
    return blocks


def _rows(material: Material, pictures: Sequence[Drawn]) -> list[Row]:
    rows = []
    for one in pictures:
        found = one.grad_cam().overlap
        if found is None:
            continue
        groups = {"lesion images": found.lesions, "all images": found.all}
        groups |= {f"images of the class {name}": group for name, group in found.by_class.items()}
        for over, group in groups.items():
            shown = (percent(group.dice, "none"), percent(group.iou, "none"))
            rows.append(Row((material.register.called(one.model), one.run.name, f"{over} ({group.images:,})", *shown)))
    return rows


def _note(one: Drawn) -> Text:
    found = one.grad_cam()
    paper = "" if found.threshold == GRAD_CAM_THRESHOLD else " (paper: 20 %)"
    explained = "predicted class" if found.target == "predicted" else f"class '{found.target}'"
    return Text(
        f"{one.run.name}: maps of the {explained} on {one.data}, thresholded at {100 * found.threshold:g} % of their "
        f"own maximum{paper}."
    )
