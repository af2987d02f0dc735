"""Table 3 and figure 4: nearest neighbours on frozen features (paper, section 5.1)."""

from __future__ import annotations

import string
from collections.abc import Sequence

from .blocks import Block, Missing, Picture, Row, Section, Table, Text
from .cells import NO_NUMBER, in_words, percent
from .charts import Point, scatter
from .knn_document import KnnDocument, KnnRow
from .material import Material
from .models import Model, from_source
from .outcomes import Outcome
from .paper_numbers import RADIMAGENET, TABLE_2, TABLE_3

_COLUMNS = ("Model", "From", "Image size (px)", "Accuracy (%)", "Precision (%)", "Recall (%)", "F1 (%)")
_COMMAND = "radiodino-train knn --weights WEIGHTS --data DATA --out FOLDER"
_METRICS = ("accuracy", "precision", "recall", "f1")

_Runs = Sequence[Outcome[KnnDocument]]


def table_3(material: Material) -> Section:
    """The table, once for each data set."""
    blocks: list[Block] = []
    for data, runs in material.by_data(material.outcomes.knn, RADIMAGENET).items():
        blocks += _data_set(material, data, runs)
    if not blocks:
        blocks.append(Missing("None of the folders holds nearest neighbours. They are made by:", _COMMAND))
    return Section("table-3", "Table 3: nearest neighbours on frozen features", tuple(blocks))


def figure_4(material: Material) -> Section:
    """The scatter plot, once for each data set with k = 1."""
    blocks: list[Block] = []
    for place, (data, runs) in enumerate(material.by_data(material.outcomes.knn, RADIMAGENET).items(), 1):
        rows = [(run, row) for run in runs for row in run.document.results.rows if row.k == 1]
        if rows:
            blocks += _scattered(material, data, rows, place)
    if not blocks:
        blocks.append(
            Missing("None of the folders holds nearest neighbours with k = 1. They are made by:", f"{_COMMAND} --k 1")
        )
    return Section("figure-4", "Figure 4: one nearest neighbour, by size of the model", tuple(blocks))


def _data_set(material: Material, data: str, runs: _Runs) -> list[Block]:
    is_paper = data == RADIMAGENET
    rows: list[Row] = []
    models: list[Model] = []
    for k in sorted({row.k for run in runs for row in run.document.results.rows}):
        rows.append(Row((f"k = {k}",), "group"))
        for run in runs:
            for row in run.document.results.rows:
                if row.k == k:
                    models.append(from_source(row.source, row.model))
                    rows.append(_row(material, run, row, models[-1]))
        if is_paper and k in TABLE_3:
            rows += [Row((name, "paper, table 3", NO_NUMBER, *cells), "paper") for name, *cells in TABLE_3[k].rows]
    if is_paper:
        caption = f"Table 3: nearest neighbours on {data}, ours above the paper's."
    else:
        caption = f"As table 3, on {data}. The paper's table 3 is of {RADIMAGENET}, and is not shown beside other data."
    blocks: list[Block] = [Table(caption, _COLUMNS, tuple(rows), texts=2), *material.notices(models)]
    for run in runs:
        used = material.used(run)
        beside = f" {used.beside_the_paper}" if is_paper else ""
        temperature = in_words(run.document.settings.temperature)
        blocks.append(
            Text(
                f"{run.name}: {used.in_words}{beside} Precision, recall and F1 are plain means over the classes. "
                f"Neighbours by cosine similarity; for k > 1 votes weigh exp(similarity / {temperature}), which the "
                "paper does not state."
            )
        )
    if is_paper:
        blocks.append(Text("Numbers in square brackets are the paper's references."))
    return blocks


def _row(material: Material, run: Outcome[KnnDocument], row: KnnRow, model: Model) -> Row:
    metrics = (percent(getattr(row, name)) for name in _METRICS)
    return Row((material.register.called(model), run.name, str(row.image_size), *metrics))


def _scattered(
    material: Material, data: str, rows: Sequence[tuple[Outcome[KnnDocument], KnnRow]], place: int
) -> list[Block]:
    models = [from_source(row.source, row.model) for _, row in rows]
    points: list[Point] = []
    lines: list[Row] = []
    for (run, row), model in zip(rows, models, strict=True):
        label = f"M{material.register.number(model)}"
        points.append(Point(label, 100 * row.accuracy, 100 * row.f1, model.parameters, True))
        called = material.register.called(model)
        lines.append(Row((label, called, run.name, _size(model.parameters), percent(row.accuracy), percent(row.f1))))
    if data == RADIMAGENET:
        for label, (name, accuracy, _, _, f1) in zip(string.ascii_lowercase, TABLE_3[1].rows, strict=False):
            points.append(Point(label, float(accuracy), float(f1), TABLE_2.get(name), False))
            lines.append(Row((label, name, "paper, table 3", _size(TABLE_2.get(name)), accuracy, f1), "paper"))
    theirs = "; grey and hollow: the paper's" if data == RADIMAGENET else ""
    caption = (
        f"As figure 4, on {data}: accuracy and F1 with one neighbour. The area of a marker is proportional to the "
        f"model's parameters; a cross has none, or they are not known. Blue: ours{theirs}. The table names the points. "
        "The text of the paper does not say what its axes are."
    )
    picture = Picture(
        f"figure-4-{place}",
        scatter(points),
        f"Scatter plot of accuracy and F1 with one neighbour on {data}; the numbers are in the table below.",
        caption,
    )
    columns = ("Point", "Model", "From", "Parameters (M)", "Accuracy (%)", "F1 (%)")
    return [picture, Table(f"The points of the plot on {data}.", columns, tuple(lines), texts=3),
            *material.notices(models)]  # fmt: skip


def _size(parameters: float | None) -> str:
    if parameters is None:
        return "not known"
    return f"{parameters:g}" if parameters else "none"
