"""Section 7.3: logistic regression on frozen features at several image sizes."""

from __future__ import annotations

from collections.abc import Sequence

from .blocks import Block, Missing, Row, Section, Table, Text
from .cells import NO_NUMBER, percent
from .material import Material
from .models import Model, from_source
from .outcomes import Outcome
from .paper_numbers import BUSI, SECTION_7_3
from .paper_recipes import PROBE_SIZES
from .probe_document import ProbeDocument, ProbeMean

_Runs = Sequence[Outcome[ProbeDocument]]


def section_7_3(material: Material) -> Section:
    """F1 by image size, and its mean, once for each data set."""
    blocks: list[Block] = []
    for data, runs in material.by_data(material.outcomes.probe, BUSI).items():
        blocks += _data_set(material, data, runs)
    if not blocks:
        blocks.append(
            Missing(
                "None of the folders holds a probe at several image sizes. It is made by:",
                "radiodino-train probe --weights WEIGHTS --data BUSI.zip --fractions 0.6,0.2,0.2 --out FOLDER",
            )
        )
    return Section("section-7-3", "Section 7.3: evaluation across image scales", tuple(blocks))


def _data_set(material: Material, data: str, runs: _Runs) -> list[Block]:
    found = {row.image_size for run in runs for row in run.document.results.rows}
    sizes = sorted(found | (set(PROBE_SIZES) if data == BUSI else set()), reverse=True)
    rows: list[Row] = []
    models: list[Model] = []
    for run in runs:
        left = list(run.document.results.rows)
        for mean in run.document.results.means:
            own, left = left[: len(mean.sizes)], left[len(mean.sizes) :]
            models += [from_source(row.source, row.model) for row in own]
            numbers = dict.fromkeys(material.register.number(model) for model in models[-len(own) :])
            called = f"{models[-1].name} ({', '.join(f'M{number}' for number in numbers)})"
            by_size = {row.image_size: percent(row.f1) + ("" if row.converged else " (not converged)") for row in own}
            rows.append(Row((called, run.name, *(by_size.get(size, NO_NUMBER) for size in sizes), _mean(mean))))
    if data == BUSI:
        caption = "Section 7.3: F1 of logistic regression on CLS features of BUSI, ours above the paper's."
        rows += [
            Row((name, "paper, section 7.3", *(NO_NUMBER for _ in sizes), f1), "paper") for name, f1 in SECTION_7_3
        ]
    else:
        caption = f"As section 7.3, on {data}. The paper's numbers are of BUSI, and are not shown beside other data."
    columns = ("Model", "From", *(f"F1 at {size} px (%)" for size in sizes), "Mean F1 (%)")
    blocks: list[Block] = [Table(caption, columns, tuple(rows), texts=2), *material.notices(models)]
    for run in runs:
        used = material.used(run)
        beside = f" {used.beside_the_paper}" if data == BUSI and used.beside_the_paper else ""
        blocks.append(
            Text(
                f"{run.name}: {used.in_words}{beside} F1 of the test images, a plain mean over the classes; the "
                "strength of the regularisation was chosen on the validation images. The paper gives the means alone, "
                "and no settings of its logistic regression."
            )
        )
    return blocks


def _mean(mean: ProbeMean) -> str:
    """With the sizes, where they are not the paper's."""
    other = set(mean.sizes) != set(PROBE_SIZES)
    return percent(mean.f1) + (f" (of {', '.join(map(str, mean.sizes))} px)" if other else "")
