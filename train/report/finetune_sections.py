"""Tables 4 to 9: fine-tuned classifiers (paper, sections 5.2 and 7.1)."""

from __future__ import annotations

from collections.abc import Sequence

from .blocks import Block, Missing, Row, Section, Table, Text
from .cells import differences, listed, mean_percent, percent
from .finetune_document import FinetuneDocument
from .material import Material
from .models import Model, from_weights
from .outcomes import Outcome
from .paper_numbers import BUSI, FINE_TUNED, TABLE_1, TABLE_9_TEST_IMAGES, PaperTable
from .paper_recipes import FINETUNE

_COLUMNS = ("Model", "From", "Accuracy (%)", "Precision (%)", "Recall (%)", "F1 (%)", "AUC (%)")
_METRICS = ("accuracy", "precision", "recall", "f1", "auc")

_Runs = Sequence[Outcome[FinetuneDocument]]


def table_of(material: Material, paper: PaperTable) -> Section:
    """One of the tables 4 to 9: ours above the paper's."""
    runs = [run for run in material.outcomes.finetune if material.used(run).dataset == paper.dataset]
    title = f"Table {paper.number}: fine-tuned on {paper.dataset}"
    anchor = f"table-{paper.number}"
    if not runs:
        named = "BUSI.zip --fractions 0.6,0.2,0.2" if paper.dataset == BUSI else f"medmnist:{paper.dataset.lower()}:224"
        return Section(
            anchor,
            title,
            (
                Missing(
                    f"None of the folders holds a fine-tuning on {paper.dataset}. It is made by:",
                    f"radiodino-train finetune --data {named} --out FOLDER",
                ),
            ),
        )
    theirs = tuple(Row((name, f"paper, table {paper.number}", *cells), "paper") for name, *cells in paper.rows)
    caption = f"Table {paper.number}: classifiers fine-tuned on {paper.dataset}, ours above the paper's."
    return Section(anchor, title, tuple(_blocks(material, runs, caption, theirs, paper)))


def other_data(material: Material) -> Section | None:
    """Fine-tunings on data that are none of the paper's; None where there are none."""
    own = {paper.dataset for paper in FINE_TUNED}
    runs = [run for run in material.outcomes.finetune if material.used(run).dataset not in own]
    blocks: list[Block] = []
    for data, group in material.by_data(runs, "").items():
        blocks += _blocks(material, group, f"Classifiers fine-tuned on {data}; the paper has no such table.", (), None)
    return Section("finetune-other", "Fine-tuned on other data", tuple(blocks)) if blocks else None


def _blocks(
    material: Material, runs: _Runs, caption: str, theirs: tuple[Row, ...], paper: PaperTable | None
) -> list[Block]:
    ours: list[Row] = []
    models: list[Model] = []
    for run in runs:
        settings, metrics = run.document.settings, run.document.results.metrics
        models.append(from_weights(settings.weights, settings.recipe["variant"]))
        frozen = ", frozen backbone" if settings.recipe["freeze_backbone"] else ""
        cells = (mean_percent(getattr(metrics, name)) for name in _METRICS)
        ours.append(Row((material.register.called(models[-1]) + frozen, run.name, *cells)))
    blocks: list[Block] = [
        Table(caption, _COLUMNS, (*ours, *theirs), texts=2),
        *material.notices(models, began=True),
        *(Text(_note(material, run)) for run in runs),
    ]
    tests = [
        Row((run.name, name, percent(test.reference), percent(test.mean), _number(test.t, ".3f"), str(test.df),
             _number(test.p, ".2g")))
        for run in runs
        for name, test in run.document.results.t_tests.items()
    ]  # fmt: skip
    if tests:
        columns = ("From", "Metric", "Reference (%)", "Mean (%)", "t", "df", "p")
        blocks.append(Table("Two-sided one-sample t-tests of the folds (section 5.2).", columns, tuple(tests), texts=2))
        blocks.append(
            Text("Folds share training images and all test images, so they are not independent: p is too small.")
        )
    if paper is not None and paper.dataset == BUSI:
        blocks.append(
            Text(
                f"All accuracies of the paper's table 9 are whole numbers of {TABLE_9_TEST_IMAGES} images, while its "
                f"table 1 states {TABLE_1[BUSI].test} test images; it gives no standard deviations there."
            )
        )
    elif paper is not None:
        blocks.append(
            Text(
                "The paper resizes images to 224 px and does not say at which of MedMNIST's sizes it took them. "
                "Numbers in square brackets are the paper's references."
            )
        )
    return blocks


def _note(material: Material, run: Outcome[FinetuneDocument]) -> str:
    used, folds = material.used(run), run.document.results.folds
    over = f"Mean ± standard deviation over {len(folds)} folds" if len(folds) > 1 else "One fold"
    epochs = listed(f"{fold.best_epoch} of {fold.epochs}" for fold in folds)
    others = differences(run.document.settings.recipe, FINETUNE)
    recipe = (
        f"Unlike the paper: {', '.join(others)}."
        if others
        else "The recipe's numbers are those of the paper's section 4.1."
    )
    beside = f" {used.beside_the_paper}" if used.beside_the_paper else ""
    return (
        f"{run.name}: {used.in_words}{beside} {over} on the test images; best epochs: {epochs}. Precision, recall and "
        f"F1 are plain means over the classes. {recipe}"
    )


def _number(value: float | None, form: str) -> str:
    return "undefined" if value is None else format(value, form)
