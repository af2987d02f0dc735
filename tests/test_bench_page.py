"""The page of radiodino-bench: its numbers are the report's, and it shows what there is and nothing else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("psutil")

from radiodino.benchmarks import cli
from radiodino.benchmarks.bench.page.axis import around, by_factors, from_zero
from radiodino.benchmarks.bench.page.compose import TITLE, write_page
from radiodino.benchmarks.bench.report import Report, read_report, write_report
from radiodino.benchmarks.bench.row import FromFile, Quality, Row, WorkNote
from radiodino.benchmarks.bench.settings import SWEEP_BATCHES, SWEEP_SIZES, BenchSettings
from radiodino.benchmarks.bench.summary import latency, ratio
from radiodino.benchmarks.bench.weights_words import in_words, notice_in
from radiodino.benchmarks.bench.work import Work
from radiodino.runtime.errors import InputError
from radiodino.runtime.machine import this_machine
from radiodino.runtime.notice import NOTICES
from radiodino.runtime.variants import VARIANTS, get_variant

DEMO = "demonstration (not Radio DINO's)"
CONTENDERS = (  # engine, precision, arithmetic, milliseconds, smallest cosine, accuracy, peer
    ("pytorch", "fp32", "fp32", 20.0, 1.0, 0.64, ""),
    ("onnxruntime", "fp32", "fp32", 13.0, 0.9999999999, 0.64, ""),
    ("onnxruntime", "int8", "fp32", 8.0, 0.99985, 0.65, ""),
    ("openvino", "fp16", "bf16", 5.0, 0.99981, 0.64, ""),
    ("openvino", "int8", "bf16", 6.0, 0.9997, 0.63, ""),
    ("onnxruntime", "int8", "fp32", 17.0, 0.8907, 0.55, " (ORT static)"),
    ("openvino", "bf16", "bf16", 6.5, 0.99998, 0.64, " (convert_model)"),
)


def work_of(size=224, batch=1, **changes):
    return replace(
        Work(variant="tiny", task="embed", weights=DEMO, image_size=size, batch_size=batch, threads=2), **changes
    )


def rows_of(work, *, scored=True, from_file=True):
    random = np.random.default_rng(work.image_size + work.batch_size)
    scale = (work.image_size / 224) ** 2 * work.batch_size
    samples = {
        one: tuple(tuple(scale * one[3] / 1000 * (1 + 0.1 * random.random(4))) for _ in range(5)) for one in CONTENDERS
    }
    medians = {one: [float(np.median(each)) for each in seconds] for one, seconds in samples.items()}
    original = medians[CONTENDERS[0]]
    rows = []
    for one in CONTENDERS:
        engine, precision, compute, _, cosine, accuracy, peer = one
        timed, faster = latency(samples[one]), ratio(original, medians[one])
        file = FromFile(
            latency=timed, ratio=faster, decode=0.1, resize=0.2, inference=0.65, seconds=samples[one]
        )  # fmt: skip
        rows.append(
            Row(
                work=work, name=f"{engine} {precision}{peer}", engine=engine, version="1", precision=precision,
                compute=compute, device="cpu", maker="", is_peer=bool(peer), is_original=engine == "pytorch",
                latency=timed, images_per_second=1000 * work.batch_size / timed.p50, ratio=faster,
                import_seconds=float(random.random()), load_seconds=float(random.random()),
                first_seconds=float(random.random()) / 10, peak_mib=100 + 500 * float(random.random()),
                file_bytes=int(6e6 + 2e7 * random.random()), parameters=5_500_000, gmacs=1.26,
                gflops=100 * float(random.random()), peak_share=float(random.random()),
                quality=Quality(
                    images=50, mean_cosine=(1 + cosine) / 2, min_cosine=cosine, label="nearest label", clear=38,
                    same_label=0.95, dice_to_original=None, scores={"accuracy": accuracy} if scored else {},
                    changes={"accuracy": accuracy - 0.64} if scored else {},
                ),
                from_file=file if from_file and not peer else None,
                remarks=("calibrated on 200 images",) if peer else (),
                stable=True, warm_seconds=(), seconds=samples[one],
            )
        )  # fmt: skip
    return rows


def report_of(*works, rows=None, **changes):
    notes = tuple(
        WorkNote(
            work=work, peaks={"cpu fp32": 325.0}, others=0.02, stolen=0.0, noise=None,
            left_out={"optimum": "optimum is not installed"}, images="50 images of scans.zip", file="a grey JPEG",
        )
        for work in works
    )  # fmt: skip
    found = tuple(row for work in works for row in rows_of(work)) if rows is None else tuple(rows)
    made = Report(
        machine=this_machine(), isa=None, date="2026-11-22T10:00:00+00:00", versions={"torch": "2"}, rounds=5,
        works=notes, rows=found,
    )  # fmt: skip
    return replace(made, **changes)


class Page(HTMLParser):
    """A page taken apart: tables by caption, drawings by title, all text, and every tag with its attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[tuple[str, ...], list[list[str]]] = {}
        self.text, self.notices, self.headings = "", [], []
        self._said, self._caption, self._rows = "", "", []
        self.source = text
        self.drawings = {
            title: ElementTree.fromstring(svg)
            for title, svg in re.findall(r"<h3>([^<]*)</h3>\s*<div[^>]*>(<svg.*?</svg>)", text, re.DOTALL)
        }
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("caption", "th", "td", "p", "h2", "h3"):
            self._said = ""
        if tag == "tr":
            self._rows.append([])

    def handle_endtag(self, tag):
        if tag == "caption":
            self._caption = self._said
        if tag in ("th", "td"):
            self._rows[-1].append(self._said.replace("\N{NO-BREAK SPACE}", " "))
        if tag == "table":
            head, *rows = self._rows
            self.tables[(self._caption, *head)] = rows
            self._rows = []
        if tag == "p" and self.tags[-1] == ("p", {"class": "notice", "role": "note"}):
            self.notices.append(self._said)
        if tag == "h2":
            self.headings.append(self._said)

    def handle_data(self, data):
        self._said += data
        self.text += data

    def table(self, *columns, caption=""):
        """Rows as mappings, of all tables that have these columns."""
        return [
            dict(zip(head[1:], row, strict=True))
            for head, rows in self.tables.items()
            if set(columns) <= set(head) and caption in head[0]
            for row in rows
            if len(row) > 1  # others are headings
        ]


def page_of(tmp_path, *reports):
    write_page(reports, tmp_path / "page.html")
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def shown(text: str, value: float) -> bool:
    """Whether `text` is `value`, as near as its digits can tell."""
    digits = len(text.partition(".")[2])
    return abs(float(text) - value) <= 0.5000001 * 10.0**-digits * max(1.0, 10.0 ** (len(text.lstrip("-0.")) - 4))


@pytest.fixture(scope="module")
def sweep():
    return report_of(*(work_of(size) for size in SWEEP_SIZES), *(work_of(224, batch) for batch in SWEEP_BATCHES[1:]))


@pytest.fixture(scope="module")
def made(sweep, tmp_path_factory):
    """The document as another program reads it, and the page of the same file."""
    folder = tmp_path_factory.mktemp("page")
    write_report(sweep, folder / "report.json")
    return json.loads((folder / "report.json").read_text()), page_of(folder, read_report(folder / "report.json"))


NUMBERS: dict[str, Callable[[dict], float]] = {  # column → where the document has it
    "p50 (ms)": lambda row: row["latency"]["p50"],
    "p95": lambda row: row["latency"]["p95"],
    "p99": lambda row: row["latency"]["p99"],
    "spread": lambda row: 100 * row["latency"]["spread"],
    "images/s": lambda row: row["images_per_second"],
    "× faster (95 %)": lambda row: row["ratio"]["value"],
    "GFLOP/s": lambda row: row["gflops"],
    "of peak": lambda row: 100 * row["peak_share"],
    "import (s)": lambda row: row["import_seconds"],
    "load (s)": lambda row: row["load_seconds"],
    "first run (ms)": lambda row: 1000 * row["first_seconds"],
    "peak memory (MiB)": lambda row: row["peak_mib"],
    "file (MB)": lambda row: row["file_bytes"] / 1e6,
    "cosine, mean": lambda row: row["quality"]["mean_cosine"],
    "smallest": lambda row: row["quality"]["min_cosine"],
    "accuracy (%)": lambda row: 100 * row["quality"]["scores"]["accuracy"],
    "from a file, p50 (ms)": lambda row: row["from_file"]["latency"]["p50"],
    "decode": lambda row: 100 * row["from_file"]["decode"],
    "resize": lambda row: 100 * row["from_file"]["resize"],
    "inference": lambda row: 100 * row["from_file"]["inference"],
}


def test_every_number_of_the_tables_is_the_documents(made):
    document, page = made
    seen = dict.fromkeys(NUMBERS, 0)
    for work in (note["work"] for note in document["works"]):
        rows = {row["name"]: row for row in document["rows"] if row["work"] == work}
        caption = f"{work['image_size']} px, batch {work['batch_size']},"
        for column, of in NUMBERS.items():
            if column == "p95":  # of two tables
                continue
            for line in page.table("engine", column, caption=caption):
                assert shown(line[column].split()[0], of(rows[line["engine"]])), (caption, line["engine"], column)
                seen[column] += 1
        for line in page.table("engine", "p99", caption=caption):
            assert shown(line["p95"], rows[line["engine"]]["latency"]["p95"])
            seen["p95"] += 1
        for line in page.table("engine", "× faster (95 %)", caption=caption):
            row = rows[line["engine"]]
            if not row["is_original"]:
                low, high = re.search(r"\((.*)–(.*)\)", line["× faster (95 %)"]).groups()
                assert shown(low, row["ratio"]["low"])
                assert shown(high, row["ratio"]["high"])
    assert min(seen.values()) == 5 * 7  # from files: engines that are no peers, in each of seven works
    assert seen["p50 (ms)"] == len(document["rows"]) == 49


def test_at_a_glance_is_the_fastest_of_each_measurement(made):
    document, page = made
    lines = page.table("measured", "fastest")
    assert len(lines) == len(document["works"])
    for line, work in zip(lines, (note["work"] for note in document["works"]), strict=True):
        assert line["measured"] == f"{work['image_size']} px, batch {work['batch_size']}"
        rows = [row for row in document["rows"] if row["work"] == work and not row["is_original"]]
        for is_peer, name, faster in (
            (False, "fastest", "× faster than PyTorch (95 %)"), (True, "fastest of the others", "its × faster"),
        ):  # fmt: skip
            best = max((row for row in rows if row["is_peer"] == is_peer), key=lambda row: row["ratio"]["value"])
            assert line[name] == best["name"]
            assert shown(line[faster].split()[0], best["ratio"]["value"])
            if not is_peer:
                assert shown(line["ms per run"], best["latency"]["p50"])
                assert shown(line["smallest cosine"], best["quality"]["min_cosine"])


def main_rows(document):
    return {
        row["name"]: row
        for row in document["rows"]
        if (row["work"]["image_size"], row["work"]["batch_size"]) == (224, 1)
    }


def marks_of(drawing):
    """Title and shape of everything that tells a number."""
    return [(one.find("title").text, one) for one in drawing.iter() if one.find("title") is not None]


def name_in(title):
    return title.partition(":")[0].partition(", in ")[0]


@pytest.mark.parametrize(
    ("drawing", "of"),
    [
        ("Times faster than PyTorch", lambda row: row["ratio"]["value"]),
        ("Peak memory", lambda row: row["peak_mib"]),
        ("File size", lambda row: row["file_bytes"] / 1e6),
        (
            "From the start to the first answer",
            lambda row: row["import_seconds"] + row["load_seconds"] + row["first_seconds"],
        ),
        (
            "From an image on disk to the answer",
            lambda row: row["from_file"] and 0.95 * row["from_file"]["latency"]["p50"],
        ),
    ],
)
def test_every_bar_is_as_long_as_its_number(made, drawing, of):
    document, page = made
    truth = {name: of(row) for name, row in main_rows(document).items() if of(row) is not None}
    lengths: dict[str, float] = {}
    for title, bar in marks_of(page.drawings[drawing]):
        lengths[name_in(title)] = lengths.get(name_in(title), 0.0) + float(bar.get("width"))
    assert lengths.keys() == truth.keys()
    unit = lengths["pytorch fp32"] / truth["pytorch fp32"]
    for name, length in lengths.items():
        assert length == pytest.approx(unit * truth[name], abs=0.03 + 0.01 * truth[name] / truth["pytorch fp32"])
    ordered = list(lengths.values())
    assert ordered == sorted(ordered, reverse="faster" in drawing)


def test_bars_say_their_numbers_and_intervals(made):
    document, page = made
    for title, _ in marks_of(page.drawings["Times faster than PyTorch"]):
        row = main_rows(document)[name_in(title)]
        if row["is_original"]:
            assert title == "pytorch fp32: 1 (the original)"
        else:
            value, low, high = re.search(r": ([\d.]+) \(([\d.]+)–([\d.]+)\)$", title).groups()
            for text, key in ((value, "value"), (low, "low"), (high, "high")):
                assert shown(text, row["ratio"][key])


def axis_of(drawing, *, is_vertical):
    """What turns a place into its number: read off the ticks as they are written, on an axis by factors."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    found = []
    for text in drawing.iter("text"):
        said, at = text.text, float(text.get("y" if is_vertical else "x"))
        on_axis = text.get("text-anchor") == ("end" if is_vertical else "middle") and text.get("class") == "quiet"
        if on_axis and re.fullmatch(r"[\d.e+-]+|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", said):
            powered = 10.0 ** float(said[2:].translate(raised)) if re.search("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]", said) else float(said)
            found.append((at - (4 if is_vertical else 0), powered))
    return found


def by_logarithm(ticks, at):
    (first, low), (last, high) = ticks[0], ticks[-1]
    return math.exp(math.log(low) + (at - first) / (last - first) * (math.log(high) - math.log(low)))


def evenly(ticks, at):
    (first, low), (last, high) = ticks[0], ticks[-1]
    return low + (at - first) / (last - first) * (high - low)


def centre(shape):
    """Of a disc, or the middle of a shape's corners across, and down as far as it says."""
    if shape.tag == "circle":
        return float(shape.get("cx")), float(shape.get("cy"))
    corners = np.array([[float(value) for value in pair.split(",")] for pair in shape.get("points").split()])
    low, high = corners.min(0), corners.max(0)
    x, y = (low + high) / 2
    return x, y + (0.1 * 4.5 if len(corners) == 3 else 0)  # a triangle hangs a little


@pytest.mark.parametrize(
    ("title", "of", "scale"),
    [
        ("Latency against accuracy", lambda row: 100 * row["quality"]["scores"]["accuracy"], evenly),
        (
            "Latency against closeness to the original",
            lambda row: max(1e-8, 1 - row["quality"]["min_cosine"]),
            by_logarithm,
        ),
    ],
)
def test_points_stand_where_their_numbers_are(made, title, of, scale):
    document, page = made
    drawing = page.drawings[title]
    across, up = axis_of(drawing, is_vertical=False), axis_of(drawing, is_vertical=True)
    seen = set()
    for said, shape in marks_of(drawing):
        row = main_rows(document)[name_in(said)]
        x, y = centre(shape)
        assert by_logarithm(across, x) == pytest.approx(row["latency"]["p50"], rel=0.01)
        assert scale(up, y) == pytest.approx(of(row), rel=0.02)
        assert shown(re.search(r": ([\d.]+) ms", said).group(1), row["latency"]["p50"])
        seen.add(row["name"])
    assert seen == main_rows(document).keys()
    heights = {name_in(said): centre(shape)[1] for said, shape in marks_of(drawing)}
    assert heights["onnxruntime int8 (ORT static)"] == max(heights.values())  # the worst is at the foot


def test_only_what_none_beats_is_named_beside_its_point(made):
    _, page = made
    drawing = page.drawings["Latency against closeness to the original"]
    named = {text.text for text in drawing.iter("text") if text.get("class") == "ground"}
    assert named <= {"pytorch fp32", "onnxruntime fp32", "openvino fp16", "openvino bf16 (convert_model)"}
    assert {"pytorch fp32", "openvino fp16"} <= named


@pytest.mark.parametrize(("course", "fixed"), [("image size", "batch_size"), ("batch", "image_size")])
@pytest.mark.parametrize("title", ["Time per image", "Peak memory"])
def test_lines_of_a_sweep_go_through_their_numbers(made, course, fixed, title):
    document, page = made
    drawing = page.drawings[f"{title} against {course}"]
    step, at = ("image_size", 1) if course == "image size" else ("batch_size", 224)
    rows = {
        (row["name"], row["work"][step]): row
        for row in document["rows"]
        if row["work"][fixed] == at and not row["is_peer"]
    }
    across, up = axis_of(drawing, is_vertical=False), axis_of(drawing, is_vertical=True)
    assert [value for _, value in across] == sorted({key[1] for key in rows})
    seen = set()
    for said, shape in marks_of(drawing):
        name, where = re.match(r"(.*), (\d+) (?:px|images): ", said).groups()
        row = rows[name, int(where)]
        value = row["peak_mib"] if title == "Peak memory" else row["latency"]["p50"] / row["work"]["batch_size"]
        x, y = centre(shape)
        assert by_logarithm(across, x) == pytest.approx(int(where), rel=0.01)
        assert by_logarithm(up, y) == pytest.approx(value, rel=0.03)
        seen.add((name, int(where)))
    assert seen == rows.keys()
    lines = [line for line in drawing.iter("polyline") if line.get("stroke") and len(line.get("points").split()) == 4]
    assert len(lines) == 5  # a line of each engine and precision


def test_it_needs_nothing_else_and_is_for_phones(made):
    _, page = made
    assert not re.search(r"https?:|@import|url\(", page.source)
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in page.tags}
    targets = [told["href"] for tag, told in page.tags if "href" in told]
    anchors = {told.get("id") for _, told in page.tags}
    assert targets
    assert all(one.startswith("#") and one[1:] in anchors for one in targets)
    assert not [told for _, told in page.tags if "src" in told or any(name.startswith("on") for name in told)]
    metas = [told for tag, told in page.tags if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert any(told.get("content", "").startswith("default-src 'none'") for told in metas)
    inside = [told for tag, told in page.tags if tag == "div" and told.get("class") == "scroll"]
    assert len(inside) == len(page.tables)
    assert all(told.get("aria-label") for tag, told in page.tags if tag == "div")


def test_it_says_what_must_be_known(made):
    document, page = made
    machine = document["machine"]
    for said in (TITLE, machine["processor"], "torch 2", document["date"], "Research use only", "325", "a grey JPEG"):
        assert said in page.text
    assert page.table("engine", "why") == [{"engine": "optimum", "why": "optimum is not installed", "of": "all"}]
    assert {
        "what must be known": "onnxruntime int8 (ORT static): calibrated on 200 images", "of": "all"
    } in page.table("what must be known")  # fmt: skip


def test_the_page_says_whose_weights_they_are(tmp_path):
    for words, kind in ((DEMO, "demo"), (f"classes.pth: {DEMO}", "demo"), ("random", "random")):
        page = page_of(tmp_path, report_of(work_of(weights=words)))
        said = [notice for notice in page.notices if NOTICES[kind].partition(": ")[2] in notice]
        assert len(said) == 1
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.source)
        assert captions
        assert all(words.replace("'", "&#x27;") in caption for caption in captions)
    page = page_of(tmp_path, report_of(work_of(weights="published")))
    assert page.notices == ["Research use only, not for diagnosis."]


def test_weights_in_words():
    assert in_words(("demo",), NOTICES["demo"]) == DEMO
    assert in_words(("published",), None) == "published"
    assert in_words(("a/b.pth", "c.pth"), None) == "b.pth, c.pth"
    assert in_words(("a/b.pth",), NOTICES["demo"]) == f"b.pth: {DEMO}"
    for words in (DEMO, f"b.pth: {DEMO}"):
        assert notice_in(words) == NOTICES["demo"]
    assert notice_in("random") == NOTICES["random"]
    assert notice_in("random.pth") is notice_in("published") is None


def test_a_plot_without_data_is_left_out(tmp_path):
    work = work_of()
    rows = rows_of(work)
    assert page_of(tmp_path, report_of(work, rows=rows[:1])).drawings == {}
    bare = [replace(row, quality=None, from_file=None, peak_mib=None) for row in rows]
    titles = set(page_of(tmp_path, report_of(work, rows=bare)).drawings)
    assert titles == {"Times faster than PyTorch", "File size", "From the start to the first answer"}
    unscored = page_of(tmp_path, report_of(work, rows=rows_of(work, scored=False, from_file=False)))
    assert set(unscored.drawings) == titles | {"Peak memory", "Latency against closeness to the original"}
    assert len(page_of(tmp_path, report_of(work, work_of(448))).drawings) == 9


def test_dice_has_a_plot_of_its_own(tmp_path):
    work = work_of(task="segment")
    rows = [
        replace(row, quality=replace(row.quality, label=None, scores={"dice": 0.7}, changes={"dice": 0.0}))
        for row in rows_of(work)
    ]
    drawings = page_of(tmp_path, report_of(work, rows=rows)).drawings
    assert "Latency against Dice of lesions" in drawings
    assert "Latency against accuracy" not in drawings
    assert [float(tick) for _, tick in axis_of(drawings["Latency against Dice of lesions"], is_vertical=True)] == [
        68, 69, 70, 71, 72,
    ]  # fmt: skip


def test_rows_on_a_gpu_are_beside_their_own_original(tmp_path):
    work = work_of()
    rows = rows_of(work)
    engines = {"pytorch": "pytorch-cuda", "openvino": "cuda", "onnxruntime": "tensorrt"}
    others = [
        replace(row, device="cuda", engine=engines[row.engine], name=row.name.replace(row.engine, engines[row.engine]))
        for row in rows
    ]
    page = page_of(tmp_path, report_of(work, rows=[*rows, *others]))
    assert len(marks_of(page.drawings["Times faster than PyTorch"])) == 7
    on_gpu = {name_in(title) for title, _ in marks_of(page.drawings["Times faster than PyTorch, cuda"])}
    assert on_gpu == {row.name for row in others}
    lines = page.table("measured", "fastest")
    assert [line["measured"] for line in lines] == ["224 px, batch 1", "224 px, batch 1, cuda"]


def test_a_noisy_machine_is_told_of_first(tmp_path):
    quiet = report_of(work_of())
    (note,) = quiet.works
    page = page_of(tmp_path, replace(quiet, works=(replace(note, noise="the machine was noisy"),)))
    assert any("not left alone during the measurement" in notice for notice in page.notices)
    assert "The machine was noisy." in page.notices
    assert not any("alone" in notice for notice in page_of(tmp_path, quiet).notices)


def test_reports_of_one_machine_are_joined_and_of_two_are_kept_apart(tmp_path):
    first, second = report_of(work_of()), report_of(work_of(448))
    joined = page_of(tmp_path, first, second)
    assert "Time per image against image size" in joined.drawings
    assert joined.headings.count("tiny, embed, 2 threads") == 1
    elsewhere = replace(second, machine=replace(second.machine, processor="Another"))
    apart = page_of(tmp_path, first, elsewhere)
    assert "Time per image against image size" not in apart.drawings
    assert [heading for heading in apart.headings if heading.startswith("tiny")] == [
        "tiny, embed, 2 threads, machine 1", "tiny, embed, 2 threads, machine 2",
    ]  # fmt: skip
    with pytest.raises(InputError, match="measured the same on one machine, tiny, embed, 224 px, batch 1, 2 threads"):
        write_page([first, first], tmp_path / "page.html")
    twice = replace(first, machine=elsewhere.machine)
    assert "Another" in page_of(tmp_path, first, twice).text


def test_the_same_with_other_weights_is_another_network(tmp_path):
    page = page_of(tmp_path, report_of(work_of(), work_of(weights="random"), work_of(448, weights="random")))
    assert [heading for heading in page.headings if heading.startswith("tiny")] == [
        f"tiny, embed, 2 threads, {DEMO} weights", "tiny, embed, 2 threads, random weights",
    ]  # fmt: skip
    mixed = page_of(tmp_path, report_of(work_of(), work_of(448, weights="random")))
    assert [heading for heading in mixed.headings if heading.startswith("tiny")] == ["tiny, embed, 2 threads"]
    assert "weights: demonstration (not Radio DINO&#x27;s); random." in mixed.source


def test_text_of_others_cannot_break_the_page(tmp_path):
    hostile = '<script>alert("1")</script>&amp;'
    work = work_of(weights=hostile)
    rows = [replace(row, name=f"{row.name} {hostile}") for row in rows_of(work)]
    page = page_of(tmp_path, report_of(work, rows=rows))
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(hostile in title for title, _ in marks_of(page.drawings["Peak memory"]))
    assert hostile in page.text


def test_the_command_makes_a_page_of_reports_written_earlier(command, tmp_path):
    for name, size in (("a", 224), ("b", 448)):
        write_report(report_of(work_of(size)), tmp_path / f"{name}.json")
    ended = command(cli.main, "page", tmp_path / "a.json", tmp_path / "b.json", "-o", tmp_path / "page.html")
    assert ended.status == 0, ended.err
    assert f"wrote    {tmp_path / 'page.html'}" in ended.out
    assert "Time per image against image size" in Page((tmp_path / "page.html").read_text()).drawings
    twice = command(cli.main, "page", tmp_path / "a.json", tmp_path / "a.json", "-o", tmp_path / "page.html")
    assert twice.status == 2
    assert "two of the reports measured the same" in twice.err
    assert command(cli.main, "page", tmp_path / "none.json", "-o", tmp_path / "page.html").status == 2
    assert command(cli.main, "page", tmp_path / "a.json", "-o", tmp_path / "no" / "page.html").status == 2


def test_a_sweep_measures_no_cross_product():
    settings = BenchSettings(sweep=True, batch_sizes=SWEEP_BATCHES)
    settings.check()
    sizes = settings.image_sizes_of(get_variant("dinov2-small"))
    measured = [(size, batch) for size in sizes for batch in settings.batch_sizes_at(size)]
    assert measured == [(56, 1), (112, 1), (224, 1), (224, 4), (224, 16), (224, 64), (448, 1)]
    assert settings.image_sizes_of(get_variant("tiny")) == (64, 112, 224, 448)  # 16 does not divide 56
    for variant in VARIANTS.values():
        assert all(variant.grid(size) for size in settings.image_sizes_of(variant))
    assert replace(settings, sweep=False).batch_sizes_at(448) == SWEEP_BATCHES
    assert replace(settings, sweep=False).image_sizes_of(get_variant("tiny")) == (None,)
    assert replace(settings, image_sizes=(112, 224)).image_sizes_of(get_variant("tiny")) == (112, 224)
    with pytest.raises(InputError, match="--sweep measures batches at 224 px"):
        replace(settings, image_sizes=(112, 448)).check()


POSITIVE = st.floats(1e-6, 1e6)


@given(st.lists(POSITIVE, min_size=1, max_size=20))
@example([1.00001])
def test_axes_hold_their_values(values):
    for axis in (from_zero("", values), by_factors("", values), around("", values, 4.0, (0.0, 2e6))):
        assert all(-1e-9 <= axis.share(value) <= 1 + 1e-9 for value in values)
        assert 2 <= len(axis.ticks) <= 8
        assert all(-1e-9 <= axis.share(tick) <= 1 + 1e-9 for tick in axis.ticks)
        assert list(axis.ticks) == sorted(set(axis.ticks))
    assert from_zero("", values).low == 0
