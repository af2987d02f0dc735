"""The paper's numbers as the report shows them, held against the paper's text where it is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from radiodino.runtime.variants import VARIANTS
from radiodino.train.features.presets import PRESETS
from radiodino.train.report.paper_numbers import (
    BUSI,
    FINE_TUNED,
    RADIMAGENET,
    SECTION_7_3,
    SECTION_7_4,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_9_TEST_IMAGES,
    TABLE_10,
)

TABLES = (*TABLE_3.values(), *FINE_TUNED, TABLE_10)
PAPER = Path(__file__).resolve().parents[2] / "shared" / "seeds" / "radio-dino-paper.txt"


@pytest.fixture(scope="module")
def paper() -> str:
    if not PAPER.is_file():
        pytest.skip("the paper's text is not beside the repository")
    return PAPER.read_text(encoding="utf-8")


def shown(line: str) -> tuple[str, ...]:
    """A row of the paper's text as the tables have it: the reference after the name, no (Our), I-JEPA spelt out."""
    name, *cells = line.split("\t")
    name = re.sub(r"^(\[\d+\]) (.*)$", r"\2 \1", name).removeprefix("(Our) ")
    return (name.replace("LJEPA", "I-JEPA"), *cells)


def tables_of(text: str) -> dict[int, list[list[tuple[str, ...]]]]:
    """The rows of each table in the text, by its number; a line without numbers parts them."""
    found: dict[int, list[list[tuple[str, ...]]]] = {}
    number, reading = 0, False
    for line in text.splitlines():
        if caption := re.fullmatch(r"Table (\d+)", line):
            number, reading = int(caption[1]), False
        elif line.startswith(("Model\t", "Dataset\t", "Model variant\t")):
            found[number], reading = [[]], True
        elif reading and line.startswith("k = "):
            found[number].append([])
        elif reading and "\t" in line:
            found[number][-1].append(shown(line))
        else:
            reading = False
    return {number: [rows for rows in parts if rows] for number, parts in found.items()}


def test_every_row_of_every_table_is_as_printed(paper):
    printed = tables_of(paper)
    assert [list(TABLE_3[k].rows) for k in (1, 5, 20)] == printed[3]
    for table in (*FINE_TUNED, TABLE_10):
        assert [list(table.rows)] == printed[table.number], table.number


def test_splits_and_sizes_are_as_printed(paper):
    printed = tables_of(paper)
    splits = {row[0]: row[-1].replace(",", "") for row in printed[1][0]}
    assert splits == {name: f"{split.train}/{split.val}/{split.test}" for name, split in TABLE_1.items()}
    assert {row[0]: float(row[-1]) for row in printed[2][0]} == TABLE_2


def test_numbers_of_the_running_text_are_as_printed(paper):
    words = " ".join(paper.split())
    (_, theirs), (_, ours) = SECTION_7_3
    assert (
        f"Radio DINO base model achieves an average F1 score of {ours}%, compared to {theirs}% for the DINO base"
        in words
    )
    assert f"achieving a Dice score of {SECTION_7_4[0][1]}%" in words


@pytest.mark.parametrize(
    ("number", "model", "place", "cell"),
    [
        (3, "Radio DINO tiny", 1, "66.20"),
        (4, "Radio DINO small", 5, "95.55 ± 1.55"),
        (5, "Med ViT small [65]", 1, "96.1"),
        (6, "Radio DINO base", 1, "97.35 ± 0.55"),
        (7, "DINOv2 base", 4, "82.61 ± 2.20"),
        (8, "Resnet18 [67]", 1, "81.3"),
        (9, "Radio DINO base", 5, "98.35"),
        (10, "Radio DINO small sp", 1, "71.70"),
    ],
)
def test_some_numbers_wherever_the_text_is(number, model, place, cell):
    table = next(table for table in TABLES if table.number == number)
    assert {row[0]: row for row in table.rows}[model][place] == cell


def test_tables_are_whole():
    for table in TABLES:
        assert table.dataset in TABLE_1
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert len({row[0] for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert all(re.fullmatch(r"–|\d+\.\d+( ± \d+\.\d+)?", cell) for cell in row[1:]), row
    assert [table.number for table in TABLES] == [3, 3, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [table.dataset for table in (TABLE_3[1], FINE_TUNED[-1], TABLE_10)] == [RADIMAGENET, BUSI, BUSI]


def test_names_are_those_of_the_family_and_its_rivals():
    """So that ours can be found beside the paper's."""
    assert {variant.paper_name for variant in VARIANTS.values()} == set(TABLE_2)
    names = {row[0].partition(" [")[0].lower() for row in TABLE_3[1].rows}
    rivals = {preset.paper_row.lower() for preset in PRESETS.values()} - {"vit base dino"}  # of section 7.3 alone
    assert rivals <= names
    assert names - rivals == {name.lower() for name in TABLE_2} - {"radio dinov2"}


def test_accuracies_of_table_9_are_of_79_images_and_not_of_156():
    accuracies = [float(row[1]) for row in FINE_TUNED[-1].rows]

    def fits(accuracy: float, images: int) -> bool:
        return round(100 * round(accuracy / 100 * images) / images, 2) == accuracy

    assert all(fits(accuracy, TABLE_9_TEST_IMAGES) for accuracy in accuracies)
    assert not any(fits(accuracy, TABLE_1[BUSI].test) for accuracy in accuracies)
    assert not any(fits(accuracy, 5 * TABLE_1[BUSI].test) for accuracy in accuracies)  # nor means of five folds
