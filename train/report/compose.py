"""The page, in the order of the paper."""

from __future__ import annotations

from collections.abc import Mapping

from radiodino.runtime.machine import Machine

from .blocks import Page, Section
from .explain_sections import figure
from .finetune_sections import other_data, table_of
from .head import head, lead
from .knn_sections import figure_4, table_3
from .material import Material
from .paper_numbers import FINE_TUNED
from .pretrain_section import pretraining
from .probe_section import section_7_3
from .segment_section import table_10

TITLE = "Radio DINO: the paper's tables and figures in our own numbers"


def compose(material: Material, *, date: str | None, versions: Mapping[str, str], machine: Machine) -> Page:
    """The page of all there is.

    Args:
        material: what it is of.
        date: a text that is written into it; None for none, so that the same runs give the same page.
        versions: of the packages that write it.
        machine: that writes it.

    Raises:
        InputError: where a picture is missing or damaged.
    """
    *first, ninth = FINE_TUNED
    sections: list[Section | None] = [
        table_3(material),
        figure_4(material),
        *(table_of(material, paper) for paper in first),
        other_data(material),
        figure(material, "figure-5"),
        figure(material, "figures-6-to-9"),
        figure(material, "figure-10"),
        table_of(material, ninth),
        table_10(material),
        section_7_3(material),
        figure(material, "figure-11"),
        pretraining(material),
    ]
    found = tuple(section for section in sections if section)  # they fill the register of models, which goes first
    return Page(TITLE, lead(material, date), (*head(material, versions, machine), *found))
