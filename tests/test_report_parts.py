"""The report's parts: reading what is needed, the log of a run, charts, and how pages are written."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("matplotlib")

from radiodino.runtime.errors import InputError
from radiodino.train.report.blocks import Drawing, Facts, Missing, Notice, Page, Picture, Row, Section, Table, Text
from radiodino.train.report.cells import differences, in_words, listed, mean_percent, percent
from radiodino.train.report.charts import POINTS, Point, curve_points, loss_curve, scatter
from radiodino.train.report.finetune_document import Mean
from radiodino.train.report.html_page import as_html
from radiodino.train.report.loss_log import read_loss_log
from radiodino.train.report.markdown_page import as_markdown
from radiodino.train.report.needed import needed, read_json

# Reading.


@dataclass(frozen=True)
class Inner:
    number: float
    word: str | None = None


@dataclass(frozen=True)
class Outer:
    many: tuple[Inner, ...]
    named: dict[str, Inner]
    maybe: Inner | None


def test_what_is_needed_is_taken_wherever_more_is(tmp_path):
    inner = {"number": 1, "more": None}
    data = {"many": [inner], "named": {"a": {**inner, "word": "b"}}, "maybe": None, "more": {"many": 1}}
    found = needed(Outer, data, tmp_path, "command")
    assert found == Outer((Inner(1.0),), {"a": Inner(1.0, "b")}, None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"many": [], "named": {}}, "entry 'x.maybe' is missing"),
        ({"many": [{}], "named": {}, "maybe": None}, "entry 'x.many.number' is missing"),
        ({"many": {}, "named": {}, "maybe": None}, "entry 'x.many' is of the wrong type"),
        (
            {"many": [], "named": {"a": {"number": True}}, "maybe": None},
            "entry 'x.named.a.number' is of the wrong type",
        ),
        ({"many": [], "named": {}, "maybe": 3}, "'x.maybe.' is no object"),
        (7, "'x.' is no object"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_file_and_cure(tmp_path, data, message):
    with pytest.raises(InputError) as caught:
        needed(Outer, data, tmp_path / "f.json", "radiodino-train knn", "x.")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'f.json'} is not what radiodino-train knn writes, ")
    assert str(caught.value).endswith("make it again with this version, or leave its folder out")


def test_a_json_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.json: No such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_bytes(b'"\xff"')
    with pytest.raises(InputError, match=r"bad\.json is no JSON file"):
        read_json(tmp_path / "bad.json")


HEADER = "step,epoch,loss,other,images_per_second\n"


def test_a_log_is_read_by_its_columns(tmp_path):
    (tmp_path / "log.csv").write_text(HEADER + "0,0,8.5,x,10\n1,0,8.25,x,11\n2,1,8,x,12.5\n")
    log = read_loss_log(tmp_path / "log.csv")
    assert (log.steps, log.epochs, log.losses) == ((0, 1, 2), (0, 0, 1), (8.5, 8.25, 8.0))
    assert (log.images_per_second, log.is_cut) == (12.5, False)


@pytest.mark.parametrize("rest", ["2", "2,1,8,x,12.5", "2,1,8,x,"])
def test_a_line_that_is_being_written_is_left_out_and_said(tmp_path, rest):
    (tmp_path / "log.csv").write_text(HEADER + "0,0,8.5,x,10\n1,0,8.25,x,11\n" + rest)
    log = read_loss_log(tmp_path / "log.csv")
    assert (log.steps, log.is_cut) == ((0, 1), True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'step'"),
        ("step,epoch,loss\n0,0,1\n", "has no column 'images_per_second'"),
        (HEADER, "holds no step yet"),
        (HEADER + "0,0,8.5,x,10\n1,0\n", "line 3, is not whole"),
        (HEADER + "0,0,high,x,10\n", "line 2, is not whole"),
        (HEADER + "0,0,nan,x,10\n", "line 2, holds no step with a finite loss"),
        (HEADER + "0.5,0,8,x,10\n", "line 2, holds no step"),
        (HEADER + "1,0,8,x,10\n1,0,8,x,10\n", "line 3, goes back to step 1"),
    ],
)
def test_a_damaged_log_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_loss_log(tmp_path / "log.csv")
    assert str(tmp_path / "log.csv") in str(caught.value)


def test_a_log_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_loss_log(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot read"):
        read_loss_log(tmp_path / "log.csv")


# Cells.


def test_cells():
    assert [percent(0.12345), percent(1.0), percent(None), percent(None, "none")] == [
        "12.35", "100.00", "undefined", "none",
    ]  # fmt: skip
    assert mean_percent(Mean(0.5, None)) == "50.00"
    assert mean_percent(Mean(0.5, 0.012)) == "50.00 ± 1.20"
    assert mean_percent(None) == "undefined"
    assert [in_words(value) for value in (True, False, 1e-4, 5e-6, 224, "none")] == [
        "yes", "no", "0.0001", "5e-06", "224", "none",
    ]  # fmt: skip
    assert [listed(["a"]), listed(["a", "b"]), listed("abc")] == ["a", "a and b", "a, b and c"]


def test_differences_from_the_paper():
    paper = {"batch_size": 16, "augment": "autoaugment", "freeze": False}
    assert differences(dict(paper), paper) == []
    assert differences({**paper, "batch_size": 4, "more": 1}, paper) == ["batch size 4 (paper: 16)"]
    assert differences({"batch_size": 16, "freeze": True}, paper) == [
        "augment not recorded (paper: autoaugment)", "freeze yes (paper: no)",
    ]  # fmt: skip


# Charts.


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def blue(png: bytes) -> np.ndarray:
    """Where something of ours is drawn, apart from its label and its edge."""
    r, g, b = np.moveaxis(pixels(png), -1, 0)
    return (b > r + 60) & (b > g + 20)


def test_areas_are_proportional_to_parameters():
    png = scatter([Point("", 50, 30, 5.0, True), Point("", 60, 40, 20.0, True)])
    found = blue(png)
    middle = found.shape[1] // 2
    small, large = found[:, :middle].sum(), found[:, middle:].sum()
    assert large / small == pytest.approx(4, rel=0.12)  # edges have a width of their own


def test_a_model_without_parameters_is_a_cross_and_the_papers_are_hollow_and_grey():
    circle = blue(scatter([Point("", 50, 30, 5.0, True)]))
    for parameters in (None, 0.0):
        cross = blue(scatter([Point("", 50, 30, parameters, True)]))
        rows, columns = np.nonzero(cross)
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert cross.sum() < 0.6 * box
    rows, columns = np.nonzero(circle)
    assert circle.sum() > 0.7 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert blue(scatter([Point("", 50, 30, 5.0, False)])).sum() == 0


def test_charts_are_the_same_bytes_each_time_whatever_the_users_settings():
    import matplotlib

    points = [Point("M1", 50.0, 30.0, 5.0, True), Point("$a", 51.0, 31.0, None, False)]
    before = scatter(points), loss_curve(range(5), [5, 4, 3, 2, 1], 4.5)
    with matplotlib.rc_context({"font.family": "serif", "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert (scatter(points), loss_curve(range(5), [5, 4, 3, 2, 1], 4.5)) == before


def test_a_collapse_is_drawn_where_there_is_one():
    steps, losses = range(50), np.linspace(8, 4, 50)
    with_line, without = (pixels(loss_curve(steps, losses, line)) for line in (6.0, None))
    assert (with_line != without).any()


@settings(deadline=None)
@given(st.integers(1, 5000))
def test_a_curve_is_thinned_to_means_of_equal_parts(count):
    steps = np.arange(count)
    x, y = curve_points(steps, steps / 2.0)
    assert 1 <= len(x) <= POINTS
    assert np.allclose(y, np.array(x) / 2)
    if count <= POINTS:
        assert x == steps.tolist()
    part = -(-count // POINTS)
    assert x[0] == steps[:part].mean()
    assert x[-1] == steps[(len(x) - 1) * part :].mean()


# Pages.


class Plain(HTMLParser):
    """The text of each cell and paragraph, and the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.alternatives: list[str | None] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.alternatives.append(dict(attrs)["alt"])
        if tag in ("th", "td", "p", "dt", "dd", "code", "figcaption", "caption", "h2"):
            self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data


def page_of(text: str) -> Page:
    blocks = (
        Text(text),
        Notice(text),
        Missing("x", text),
        Facts(((text, text),)),
        Table(text, (text, "b"), (Row((text,), "group"), Row((text, text)), Row((text, text), "paper"))),
        Picture("picture", b"\x89PNG\r\n\x1a\n", text, text),
        Drawing(text, "<svg></svg>", text, text),
    )
    return Page("title", (), (Section("anchor", text, blocks),))


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@settings(deadline=None)
@given(TEXTS)
def test_any_text_comes_back_from_the_html_as_it_was(text):
    plain, usual = Plain(), Plain()
    plain.feed(as_html(page_of(text)))
    plain.close()
    usual.feed(as_html(page_of("x")))
    assert plain.tags == usual.tags
    assert plain.alternatives == [text]
    found = [one.rstrip("\n") for one in plain.texts]
    assert found.count(text.rstrip("\n")) >= 12


@settings(deadline=None)
@given(TEXTS)
def test_no_text_breaks_a_table_of_the_markdown(text):
    lines = as_markdown(page_of(text), "pictures").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 4
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3
    plain = [line for line in lines if not line.startswith("    ")]  # commands are code, which needs no escapes
    assert not [line for line in plain if re.search(r"(?<!\\)(?:\\\\)*<", line)]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("1. item", r"1\. item"),
        ("- item", r"\- item"),
        ("# title", r"\# title"),
        ("a_b*c", r"a\_b\*c"),
        ("5-fold", "5-fold"),
    ],
)
def test_a_paragraph_stays_one(text, escaped):
    page = Page("t", (Text(text),), ())
    assert as_markdown(page, "p").split("\n\n")[1] == escaped


def test_markdown_names_its_pictures_for_a_link():
    page = Page("t", (), (Section("a", "b", (Picture("figure-4", b"", "seen", "said"),)),))
    assert "![seen](my%20run_pictures/figure-4.png)\n\nsaid" in as_markdown(page, "my run_pictures")
