"""The report from end to end: folders as the commands write them, in; one page, out."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from radiodino.runtime.errors import InputError, OutputError
from radiodino.train.classify.summary import summarise
from radiodino.train.cli import main
from radiodino.train.evaluate.outcome import write_outcome
from radiodino.train.report.datasets import last_part, parse_datasets, recognised
from radiodino.train.report.run import write_report
from radiodino.train.segment.metrics import EMPTY_CONVENTION, summary

RANDOM = {
    "kind": "random",
    "name": "random, seed 0",
    "sha256": "ab" * 32,
    "licence": None,
    "detail": "as timm initialises them",
}
FILE = {"kind": "file", "name": "checkpoint.pth", "sha256": "cd" * 32, "licence": "CC BY 4.0", "detail": "teacher"}
OFFICIAL = "as the data set or manifest says"
SEEDED = "seeded and stratified, 0.7/0.1/0.2, seed 0"


# Folders as the commands write them.


def write_knn(folder, data="busi_256.zip", origin=SEEDED, sizes=(437, 125), rows=None, settings=None):
    pixels = {
        "kind": "pixels",
        "source": "raw 32×32 pixels",
        "sha256": None,
        "licence": None,
        "detail": "grey values in 0..1",
    }
    timm = {
        "kind": "timm",
        "source": "timm:vit_small_patch16_224.dino, pretrained",
        "sha256": "ef" * 32,
        "licence": "apache-2.0",
        "detail": "pooled features before the classifier, 21.7 M parameters",
    }
    sources = [
        ("tiny random", {**RANDOM, "source": RANDOM["name"], "variant": "tiny"}),
        ("raw 32×32 pixels", pixels),
        ("ViT small DINO", timm),
    ]
    found = rows or [
        {
            "model": model,
            "source": {**source, "device": "cpu (1 thread)", "precision": "fp32"},
            "image_size": 224,
            "gallery": sizes[0],
            "queries": sizes[1],
            "k": k,
            "accuracy": 0.6 + place / 100 + k / 1000,
            "precision": 0.5,
            "recall": 0.51,
            "f1": 0.52 + place / 50,
        }
        for place, (model, source) in enumerate(sources)
        for k in (1, 5)
    ]
    asked = {
        "data": [f"/somewhere/{data}"],
        "gallery_data": [],
        "query_data": [],
        "gallery": ["train"],
        "queries": ["test"],
        "temperature": 0.07,
        **(settings or {}),
    }
    about = {
        "gallery": {"images": sizes[0]},
        "queries": {"images": sizes[1]},
        "origin": origin,
        "unreadable": {"a.png": "truncated"},
    }
    return write_outcome(folder, "knn", settings=asked, data=about, results={"rows": found}, table="")


def write_finetune(folder, inputs=("busi_256.zip",), counts=(437, 62, 125), split=SEEDED, auc=0.91, **recipe):
    folds = [
        {
            "fold": number,
            "epochs": 30,
            "best_epoch": 20 + number,
            "val_loss": 0.5 / number,
            "metrics": {"accuracy": value, "precision": value, "recall": value, "f1": value, "auc": auc},
        }
        for number, value in enumerate((0.80, 0.82, 0.84, 0.86, 0.88), 1)
    ]
    settings = {
        "recipe": {
            "variant": "tiny", "image_size": 224, "folds": 5, "epochs": 30, "patience": 10, "batch_size": 256,
            "learning_rate": 1e-4, "warmup_epochs": 5, "warmup_learning_rate": 5e-6, "weight_decay": 0.01, "clip": 1.0,
            "augment": "autoaugment", "freeze_backbone": False, **recipe,
        },
        "weights": FILE,
    }  # fmt: skip
    data = {
        "inputs": list(inputs),
        "split": split,
        "class_counts": {
            name: {"benign": count - 1, "malignant": 1}
            for name, count in zip(("train", "val", "test"), counts, strict=True)
        },
        "unreadable": {},
    }
    results = summarise(folds, {"accuracy": 0.9})
    return write_outcome(folder, "finetune", settings=settings, data=data, results=results, table="")


def write_segment(folder, inputs=("BUSI.zip",)):
    lesions = np.array([True, True, False])
    found = summary(np.array([0.8, 0.6, 1.0]), np.array([0.7, 0.5, 1.0]), lesions, ["benign", "benign", "normal"])
    head = {"parameters": 651_234, "gmacs": 118.0, "threshold": 0.5, "epochs": 30, "best_epoch": 12, **found}
    settings = {
        "variant": "tiny",
        "weights": RANDOM,
        "image_size": 448,
        "device": "cuda",
        "empty_masks": EMPTY_CONVENTION,
        "recipe": {"paper": {"batch_size": 4}},
    }
    data = {
        "inputs": list(inputs),
        "counts": {"train": {"images": 468}, "val": {"images": 156}, "test": {"images": 156}},
        "split": "seeded and stratified, 0.6/0.2/0.2, seed 0",
        "skipped": {},
    }
    results = {"backbone_gmacs": 5.0, "heads": {"paper": head, "lite": {**head, "gmacs": 0.4, "parameters": 12_000}}}
    return write_outcome(folder, "segment", settings=settings, data=data, results=results, table="")


def write_probe(folder, sizes=(448, 224, 112, 56)):
    source = {**RANDOM, "source": RANDOM["name"], "variant": "tiny", "device": "cpu", "precision": "fp32"}
    rows = [
        {"model": "tiny random", "source": source, "image_size": size, "accuracy": 0.5, "f1": size / 1000,
         "converged": size != 56}
        for size in sizes
    ]  # fmt: skip
    means = [{"model": "tiny random", "sizes": list(sizes), "accuracy": 0.5, "f1": 0.21}]
    counts = {"train": {"benign": 300, "normal": 137}, "val": {"benign": 62}, "test": {"benign": 125}}
    data = {"per_split_and_class": counts, "origin": SEEDED, "unreadable": {}}
    settings = {"data": ["busi_256.zip"]}
    return write_outcome(
        folder, "probe", settings=settings, data=data, results={"rows": rows, "means": means}, table=""
    )


def write_explain(folder, inputs=("medmnist:pneumoniamnist:224",), masks=("busi_seg.zip",), began=None):
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for shade, (name, images) in enumerate({"attention": [{}] * 8, "pca": [{}] * 8, "umap": 624}.items()):
        Image.new("L", (9, 7), shade).save(folder / f"{name}.png")
        results[name] = {"file": f"{name}.png", "image_size": 448, "images": images}
    Image.new("L", (9, 7), 200).save(folder / "gradcam.png")
    found = summary(np.array([0.3, 0.1]), np.array([0.2, 0.1]), np.array([True, True]), ["benign", "malignant"])
    results["gradcam"] = {
        "file": "gradcam.png", "image_size": 224, "images": [{}, {}], "target": "predicted", "threshold": 0.2,
        "classifier": {"weights": began}, "overlap": {**found, "empty": ""},
    }  # fmt: skip
    settings = {"variant": "tiny", "weights": {**FILE, "name": "classifier.pth", "notice": None}, "device": "cpu"}
    data = {"inputs": list(inputs), "masks": list(masks), "unreadable": {"x.png": "truncated"}}
    return write_outcome(folder, "explain", settings=settings, data=data, results=results, table="")


def write_pretrain(folder):
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"method": "dino", "variant": "tiny", "epochs": 90, "batch_size": 128, "head": {"out_dim": 4096}}
    document = {"recipe": recipe, "inputs": ["train/busi_256.zip"], "versions": {"radiodino": "0.1.0"}}
    (folder / "recipe.json").write_text(json.dumps(document))
    steps = "".join(f"{step},{step // 4},{8 - step / 4},0,30.5\n" for step in range(8))
    (folder / "log.csv").write_text(f"step,epoch,loss,learning_rate,images_per_second\n{steps}")


ALL = {
    "knn": write_knn,
    "finetune": write_finetune,
    "segment": write_segment,
    "probe": write_probe,
    "explain": write_explain,
    "pretrain": write_pretrain,
}


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    """One of each command."""
    for name, write in ALL.items():
        write(tmp_path / name)
    return [tmp_path / name for name in ALL]


@pytest.fixture
def page(tmp_path):
    """The HTML and Markdown of a report."""

    def page(*folders, **options) -> tuple[str, str]:
        output, markdown = tmp_path / "report.html", tmp_path / "report.md"
        write_report(folders, output, markdown=markdown, overwrite=True, **options)
        return output.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")

    return page


class Reader(HTMLParser):
    """Sections, tables, attributes and the tags that are open."""

    VOID = frozenset({"meta", "img"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.section = ""
        self.texts: dict[str, str] = {}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"]
        elif tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        elif tag in ("td", "th"):
            self.rows[self.section][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if {"td", "th"} & set(self.open[-1:]):
            self.rows[self.section][-1][-1] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


# The page.


def test_the_page_has_all_tables_and_figures_in_the_papers_order(page, folders):
    html, markdown = page(*folders)
    anchors = [attributes["id"] for tag, attributes in read(html).tags if tag == "section"]
    assert anchors == [
        "runs", "models", "machine", "table-3", "figure-4", "table-4", "table-5", "table-6", "table-7", "table-8",
        "figure-5", "figures-6-to-9", "figure-10", "table-9", "table-10", "section-7-3", "figure-11", "pretraining",
    ]  # fmt: skip
    assert [line for line in markdown.splitlines() if line.startswith("## ")][3].startswith("## Table 3")
    for text in (html, markdown):
        assert "Research use only, not for diagnosis" in text


def test_our_numbers_stand_above_the_papers_of_the_same_data(page, folders):
    rows = read(page(*folders)[0]).rows
    ninth = rows["table-9"]
    assert ninth[1] == ["tiny · checkpoint.pth (M5)", "finetune", *["84.00 ± 3.16"] * 4, "91.00 ± 0.00"]
    assert ninth[8] == ["Radio DINO base", "paper, table 9", "92.41", "94.25", "90.00", "91.73", "98.35"]
    assert ninth[-1][:4] == ["finetune", "accuracy", "90.00", "84.00"]
    tenth = rows["table-10"]
    assert tenth[1][2:] == ["lesion images (2)", "70.00", "60.00", "0.65", "118.00"]
    assert tenth[2][2:5] == ["all test images (3)", "80.00", "73.33"]
    assert tenth[3][0].endswith("lite head, which is not the paper's")
    assert ["Radio DINO small sp", "paper, table 10", "not stated", "71.70", "56.50", "0.70", "–"] in tenth
    probes = rows["section-7-3"]
    assert probes[1][2:] == ["44.80", "22.40", "11.20", "5.60 (not converged)", "21.00"]
    assert probes[-1] == ["Radio DINO base", "paper, section 7.3", "–", "–", "–", "–", "81.12"]
    dice = rows["figure-11"]
    assert dice[1][2:] == ["lesion images (2)", "20.00", "15.00"]
    assert dice[-1] == ["Radio DINO base", "paper, section 7.4", "not stated", "13.8", "–"]


def test_numbers_of_other_data_stand_alone(page, tmp_path):
    write_knn(tmp_path / "a")
    reader = read(page(tmp_path / "a")[0])
    rows = reader.rows["table-3"]
    assert [row for row in rows if len(row) == 1] == [["k = 1"], ["k = 5"]]
    assert rows[2] == ["tiny · random, seed 0 (M1)", "a", "224", "60.10", "50.00", "51.00", "52.00"]
    assert not [row for row in rows if "paper, table 3" in row]
    assert "is not shown beside other data" in reader.texts["table-3"]
    assert {row[2] for row in reader.rows["figure-4"][1:]} == {"a"}


def test_radimagenet_stands_beside_table_3_and_figure_4(page, tmp_path):
    write_knn(tmp_path / "a", data="RadImageNet.zip", sizes=(1_080_000, 135_000))
    reader = read(page(tmp_path / "a")[0])
    rows = reader.rows["table-3"]
    assert [len([row for row in rows if row[1:2] == [source]]) for source in ("a", "paper, table 3")] == [6, 30]
    place = rows.index(["k = 5"])
    assert ["Radio DINO tiny", "paper, table 3", "–", "66.20", "35.80", "36.00", "35.30"] in rows[:place]
    assert ["Radio DINO tiny", "paper, table 3", "–", "67.10", "35.30", "30.30", "31.20"] in rows[place:]
    points = reader.rows["figure-4"]
    assert ["n", "Radio DINO tiny", "paper, table 3", "5.8", "66.20", "35.30"] in points
    assert ["M3", "ViT small DINO (M3)", "a", "21.7", "62.10", "56.00"] in points
    assert ["M2", "raw 32×32 pixels (M2)", "a", "none", "61.10", "54.00"] in points
    assert "here as many, but another draw" in reader.texts["table-3"]


def test_a_figure_without_one_neighbour_says_what_makes_it(page, tmp_path):
    path = write_knn(tmp_path / "a")
    rows = [row for row in json.loads(path.read_text())["results"]["rows"] if row["k"] != 1]
    write_knn(tmp_path / "a", rows=rows)
    assert "radiodino-train knn" in read(page(tmp_path / "a")[0]).texts["figure-4"]


def test_what_no_folder_holds_is_named_with_its_command(page, tmp_path):
    write_pretrain(tmp_path / "run")
    html, markdown = page(tmp_path / "run")
    texts = read(html).texts
    commands = {
        "table-3": "radiodino-train knn", "figure-4": "radiodino-train knn",
        "table-4": "radiodino-train finetune --data medmnist:breastmnist:224",
        "table-8": "radiodino-train finetune --data medmnist:organsmnist:224",
        "table-9": "radiodino-train finetune --data BUSI.zip", "table-10": "radiodino-train segment",
        "section-7-3": "radiodino-train probe", "figure-5": "radiodino-train explain --weights WEIGHTS --pictures pca",
        "figures-6-to-9": "--pictures umap", "figure-10": "--pictures attention", "figure-11": "--pictures gradcam",
    }  # fmt: skip
    for anchor, command in commands.items():
        assert command in texts[anchor], anchor
        assert command in markdown
    write_knn(tmp_path / "a")
    assert "radiodino-train pretrain" in read(page(tmp_path / "a")[0]).texts["pretraining"]


def test_the_file_needs_nothing_else(page, folders):
    html, _ = page(*folders)
    reader = read(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"https?:|url\(|@import|\son\w+=", html)
    sources = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert all(one["src"].startswith("data:image/png;base64,") and one["alt"] for one in sources)
    pictures = [base64.b64decode(one["src"].partition(",")[2]) for one in sources]
    for name in ("attention", "pca", "umap", "gradcam"):
        assert (folders[4] / f"{name}.png").read_bytes() in pictures
    metas = [attributes for tag, attributes in reader.tags if tag == "meta"]
    assert any(one.get("name") == "viewport" and "width=device-width" in one["content"] for one in metas)
    assert any("default-src 'none'" in (one["content"] or "") for one in metas if "http-equiv" in one)
    assert "prefers-color-scheme: dark" in html
    assert 'href="#table-3"' in html


def test_pictures_of_the_markdown_lie_beside_it(page, folders, tmp_path):
    _, markdown = page(*folders)
    names = re.findall(r"\]\((report_pictures/[^)]+)\)", markdown)
    assert len(names) == 6
    assert {(tmp_path / name).read_bytes()[:4] for name in names} == {b"\x89PNG"}
    umap = next(name for name in names if "figures-6-to-9" in name)
    assert (tmp_path / umap).read_bytes() == (folders[4] / "umap.png").read_bytes()


def test_the_same_runs_give_the_same_bytes(folders, tmp_path):
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_report(folders, tmp_path / name / "r.html", markdown=tmp_path / name / "r.md")
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert len(found[0]) == 8


def test_a_date_stands_there_only_where_it_is_given(page, folders):
    assert "Date:" not in page(*folders)[0]
    assert "Date: 1 May &lt;2031&gt;." in page(*folders, date="1 May <2031>")[0]


def test_provenance_versions_and_machine(page, folders):
    from radiodino.runtime.machine import this_machine

    reader = read(page(*folders)[0])
    models = {row[1]: row[2:] for row in reader.rows["models"][1:]}
    assert models["tiny · random, seed 0"] == ["random", "ab" * 32, "not stated", "as timm initialises them"]
    assert models["tiny · checkpoint.pth"][1:3] == ["cd" * 32, "CC BY 4.0"]
    assert "timm" in reader.texts["runs"]
    assert this_machine().processor in reader.texts["machine"]
    assert "cpu (1 thread)" in reader.texts["machine"]


def test_runs_of_the_same_weights_are_one_model_whatever_the_image_size(page, tmp_path):
    path = write_knn(tmp_path / "a")
    document = json.loads(path.read_text())
    for row, size in zip(document["results"]["rows"], (14, 7, 28, 14, 14, 14), strict=True):
        row["source"]["detail"] += f"; position table resized from 14x14 to {size}x{size} (dino)"
    path.write_text(json.dumps(document))
    assert [row[0] for row in read(page(tmp_path / "a")[0]).rows["models"][1:]] == ["M1", "M2", "M3"]


@pytest.mark.parametrize("kind", ["random", "demo"])
def test_weights_that_are_not_the_authors_are_announced(page, tmp_path, kind):
    from radiodino.runtime.notice import NOTICES

    path = write_knn(tmp_path / "a")
    document = json.loads(path.read_text())
    exported = {**document["results"]["rows"][0]["source"], "kind": "exported", "weights_kind": kind, "variant": "tiny"}
    document["results"]["rows"] = [{**document["results"]["rows"][0], "source": exported}]
    path.write_text(json.dumps(document))
    html, markdown = page(tmp_path / "a")
    assert NOTICES[kind] in read(html).texts[""]  # before all sections
    assert NOTICES[kind] in read(html).texts["table-3"]
    assert NOTICES[kind] in markdown
    assert read(html).rows["models"][1][2] == f"exported, weights {kind}"


def test_a_classifiers_first_weights_are_announced(page, tmp_path):
    write_explain(tmp_path / "a", began=RANDOM)
    for anchor in ("figure-10", "figure-11"):
        text = read(page(tmp_path / "a")[0]).texts[anchor]
        assert "The classifier M1 was fine-tuned from the weights M2." in text
        assert "M2, before the training: random weights" in text
    write_explain(tmp_path / "a")
    assert "random weights" not in page(tmp_path / "a")[0]


def test_what_a_training_did_unlike_the_paper_is_said(page, tmp_path):
    write_finetune(tmp_path / "a")
    assert (
        "The recipe's numbers are those of the paper's section 4.1." in read(page(tmp_path / "a")[0]).texts["table-9"]
    )
    write_finetune(tmp_path / "a", batch_size=16, freeze_backbone=True)
    text = read(page(tmp_path / "a")[0]).texts["table-9"]
    assert "Unlike the paper: batch size 16 (paper: 256), freeze backbone yes (paper: no)." in text
    assert "tiny · checkpoint.pth (M1), frozen backbone" in text
    write_segment(tmp_path / "b")
    assert "unlike the paper: batch size 4 (paper: 16), epochs not recorded" in page(tmp_path / "b")[0]


def test_an_undefined_auc_is_no_number(page, tmp_path):
    write_finetune(tmp_path / "a", auc=None)
    assert read(page(tmp_path / "a")[0]).rows["table-9"][1][-1] == "undefined"


def test_fine_tunings_on_data_of_ones_own_have_a_section(page, tmp_path):
    write_finetune(tmp_path / "a", inputs=["brain_mri.zip"])
    reader = read(page(tmp_path / "a")[0])
    assert len(reader.rows["finetune-other"]) == 4  # its numbers and its t-test
    assert "table-9" not in reader.rows


def test_a_mean_over_other_sizes_says_which(page, tmp_path):
    write_probe(tmp_path / "a", sizes=(112, 56))
    row = read(page(tmp_path / "a")[0]).rows["section-7-3"][1]
    assert row[2:] == ["–", "–", "11.20", "5.60 (not converged)", "21.00 (of 112, 56 px)"]


def test_umaps_are_the_papers_figures_where_the_data_are(page, tmp_path):
    write_explain(tmp_path / "a")
    text = read(page(tmp_path / "a")[0]).texts["figures-6-to-9"]
    assert "624 images, 448 px, left out as unusable: 1. As the paper's figure 7." in text
    assert "figures 6 (RadImageNet), 8 (OrganAMNIST) and 9 (OrganCMNIST) there is no counterpart" in text
    write_explain(tmp_path / "a", inputs=["own.zip"])
    assert "The paper has no such figure of these data." in read(page(tmp_path / "a")[0]).texts["figures-6-to-9"]


def test_grad_cam_of_other_data_stands_alone(page, tmp_path):
    write_explain(tmp_path / "a", masks=["lungs.zip"])
    assert not [row for row in read(page(tmp_path / "a")[0]).rows["figure-11"] if "paper, section 7.4" in row]


def test_several_results_in_one_folder(page, tmp_path):
    write_knn(tmp_path / "a")
    write_probe(tmp_path / "a")
    rows = read(page(tmp_path / "a")[0]).rows["runs"]
    assert [row[:2] for row in rows[1:]] == [["a", "nearest neighbours"], ["a", "probe at several image sizes"]]


def test_folders_of_one_name_are_told_apart(page, tmp_path):
    write_knn(tmp_path / "a" / "out")
    write_knn(tmp_path / "b" / "out")
    rows = read(page(tmp_path / "a" / "out", tmp_path / "b" / "out")[0]).rows["runs"]
    assert [row[0] for row in rows[1:]] == ["a/out", "b/out"]


def test_what_was_typed_on_another_machine_does_not_show_its_folders(page, tmp_path):
    write_knn(tmp_path / "a")
    for text in page(tmp_path / "a"):
        assert "somewhere" not in text
        assert str(tmp_path) not in text


def test_names_cannot_become_markup(page, tmp_path):
    path = write_knn(tmp_path / "a<b>&|`x`", data="<img src=x onerror=alert(1)>.zip")
    document = json.loads(path.read_text())
    source = document["results"]["rows"][0]["source"]
    del source["variant"]
    document["results"]["rows"] = [{**document["results"]["rows"][0], "model": "<script>alert(1)</script> | **x**"}]
    path.write_text(json.dumps(document))
    html, markdown = page(path.parent)
    reader = read(html)
    assert "script" not in {tag for tag, _ in reader.tags}
    assert not [one for tag, one in reader.tags if tag == "img" and not one["src"].startswith("data:")]
    assert reader.rows["table-3"][2][:2] == ["<script>alert(1)</script> | **x** (M1)", "a<b>&|`x`"]
    line = next(line for line in markdown.splitlines() if "(M1)" in line and "a\\<b" in line)
    assert r"\<script\>alert(1)\</script\> \| \*\*x\*\*" in line
    assert not re.search(r"(?<!\\)<", markdown)


# Which images.


@pytest.mark.parametrize(
    ("inputs", "dataset"),
    [
        (["busi_256.zip"], "BUSI"),
        (["/a/Dataset_BUSI_with_GT/"], "BUSI"),
        ([r"C:\data\BUSI.zip"], "BUSI"),
        (["medmnist:breastmnist"], "BreastMNIST"),
        (["medmnist:organamnist:224"], "OrganAMNIST"),
        (["x/pneumoniamnist_28.npz"], "PneumoniaMNIST"),
        (["x/radiology_ai"], "RadImageNet"),
        (["RadImageNet-test.zip", "radimagenet.csv"], "RadImageNet"),
        (["busily.zip"], None),
        (["busi/other"], None),
        (["busi.zip", "brain.zip"], None),
        (["busi.zip", "breastmnist.npz"], None),
        (["busi_and_breastmnist.zip"], None),
        ([], None),
    ],
)
def test_data_sets_are_known_by_their_names(inputs, dataset):
    assert recognised(inputs) == dataset


def test_the_last_part_of_an_input():
    assert [last_part(text) for text in ("/a/b.zip", "a/b/", "b", "medmnist:x:28", "/", r"a\b")] == [
        "b.zip", "b", "b", "medmnist:x:28", "/", "b",
    ]  # fmt: skip


def test_a_user_may_name_the_data_set(page, tmp_path):
    write_finetune(tmp_path / "a", inputs=["split.csv"])
    assert "none of the paper's, by its name" in page(tmp_path / "a")[0].replace("&#x27;", "'")
    reader = read(page(tmp_path / "a", datasets=[f"{tmp_path / 'a'}=organsmnist"])[0])
    assert "OrganSMNIST, as --dataset says" in reader.texts["runs"]
    assert reader.rows["table-8"][1][1] == "a"
    write_finetune(tmp_path / "a")
    reader = read(page(tmp_path / "a", datasets=[f"{tmp_path / 'a'}=other"])[0])
    assert "none of the paper's, as --dataset says" in reader.texts["runs"]
    assert "table-9" not in reader.rows
    write_explain(tmp_path / "b", masks=["own.zip"])
    reader = read(page(tmp_path / "b", datasets=[f"{tmp_path / 'b'}=BUSI"])[0])
    assert reader.rows["figure-11"][-1][1] == "paper, section 7.4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BUSI", "give --dataset FOLDER=NAME with one of PneumoniaMNIST"),
        ("a=BUZI", "'a=BUZI' names no data set"),
        ("b=BUSI", "--dataset names b, of which this report is not"),
    ],
)
def test_a_wrong_data_set_is_refused(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        parse_datasets([text], [Path("a")])


def test_a_folder_has_one_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_datasets(["a=x=BUSI", "./a=x=busi"], [Path("a=x")]) == {(tmp_path / "a=x").resolve(): "BUSI"}
    with pytest.raises(InputError, match="two data sets of a"):
        parse_datasets(["a=BUSI", "a=RadImageNet"], [Path("a")])
    write_pretrain(tmp_path / "run")
    with pytest.raises(InputError, match="a pretraining run"):
        write_report([Path("run")], Path("r.html"), datasets=["run=BUSI"])


@pytest.mark.parametrize(
    ("counts", "split", "words"),
    [
        ((468, 156, 156), SEEDED, "here as many, but another draw"),
        ((468, 156, 156), OFFICIAL, "here as many, in the split that the data set or manifest says"),
        ((468, 156, 155), OFFICIAL, "here another selection or split"),
        ((437, 62, 125), SEEDED, "here another selection or split"),
    ],
)
def test_how_the_images_differ_from_the_papers_is_said(page, tmp_path, counts, split, words):
    write_finetune(tmp_path / "a", counts=counts, split=split)
    text = read(page(tmp_path / "a")[0]).texts["table-9"]
    assert "The paper used 780 images of BUSI, 468/156/156 for training, validation and test (its table 1)" in text
    assert words in text
    assert f"train {counts[0]}, val {counts[1]}, test {counts[2]}; split: {split}" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "gallery (train) 1,080,000, queries (test) 135,000"),
        ({"gallery": ["train", "val"]}, "gallery (train and val) 1,080,000, queries (test) 135,000"),
        (
            {"data": [], "gallery_data": ["RadImageNet-a"], "query_data": ["RadImageNet-b"]},
            "gallery 1,080,000, queries",
        ),
    ],
)
def test_gallery_and_queries_are_named_by_their_splits(page, tmp_path, settings, words):
    write_knn(tmp_path / "a", data="radimagenet.csv", sizes=(1_080_000, 135_000), origin=OFFICIAL, settings=settings)
    text = read(page(tmp_path / "a")[0]).texts["table-3"]
    assert words in text
    assert "left out as unusable: 1" in text
    assert ("here as many" in text) == (not settings)


# What cannot be read.


def test_folders_without_results_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("file").write_text("")
    write_knn(Path("a"))
    for folders, message in [
        (["none"], "none does not exist: name a folder of results"),
        (["file"], "file is a file: name a folder"),
        (["empty"], r"empty holds no results \(knn.json, finetune.json, segment.json"),
        (["a", "a"], "a was given twice"),
        (["a", "./a/"], "a was given twice"),
        ([], "name the folders of results"),
    ]:
        with pytest.raises(InputError, match=message):
            write_report([Path(folder) for folder in folders], Path("r.html"))
    assert not Path("r.html").exists()


@pytest.mark.parametrize(
    ("name", "task"), [("run.json", "finetune"), ("training-lite.state", "segment"), ("recipe.json", "pretrain")]
)
def test_an_unfinished_run_says_so(tmp_path, name, task):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"a run of radiodino-train {task} that has no results yet"):
        write_report([tmp_path], tmp_path / "r.html")


REMOVED = object()


@pytest.mark.parametrize(
    ("task", "entry", "value", "message"),
    [
        ("knn", "results.rows.0.accuracy", REMOVED, "entry 'results.rows.accuracy' is missing"),
        ("knn", "results.rows.0.accuracy", 63.2, "entry 'accuracy' is 63.2 where a fraction from 0 to 1"),
        ("knn", "results.rows.0.k", "1", "entry 'results.rows.k' is of the wrong type"),
        ("knn", "results.rows.0.source.sha256", REMOVED, "entry 'results.rows.source.sha256' is missing"),
        ("knn", "data.origin", REMOVED, "entry 'data.origin' is missing"),
        ("knn", "results", [], "'results.' is no object"),
        ("knn", "versions", REMOVED, "entry 'versions' is missing"),
        ("probe", "results.means.0.sizes", [448], "does not hold the models and sizes"),
        ("probe", "results.rows.0.converged", 1, "entry 'results.rows.converged' is of the wrong type"),
        ("finetune", "results.metrics.f1", REMOVED, "entry 'results.metrics.f1' is missing"),
        ("finetune", "results.metrics.f1.sd", -0.1, "entry 'sd' is -0.1"),
        ("finetune", "settings.recipe.variant", REMOVED, "entry 'settings.recipe.variant' is missing"),
        ("finetune", "settings.recipe.image_size", "224", "entry 'settings.recipe.image_size' is of the wrong type"),
        ("segment", "results.heads.paper.lesions.dice", 80, "entry 'dice' is 80"),
        ("segment", "data.counts.test.images", REMOVED, "entry 'data.counts.test.images' is missing"),
        ("explain", "results.pca.file", REMOVED, "entry 'results.pca.file' is missing"),
        ("explain", "results.pca.images", "8", "entry 'images' is of the wrong type"),
        ("explain", "results.gradcam.threshold", 20, "entry 'threshold' is 20"),
        ("explain", "results.gradcam.overlap.all", REMOVED, "entry 'results.gradcam.overlap.all' is missing"),
    ],
)
def test_an_entry_that_is_needed_is_named(tmp_path, task, entry, value, message):
    ALL[task](tmp_path)
    path = tmp_path / f"{task}.json"
    document = json.loads(path.read_text())
    *parents, last = [int(part) if part.isdigit() else part for part in entry.split(".")]
    place = document
    for part in parents:
        place = place[part]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    path.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        write_report([tmp_path], tmp_path / "r.html")
    assert str(caught.value).startswith(f"{path} is not what radiodino-train {task} writes, ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON file"),
        ("[" * 100_000, "is no JSON file"),
        ('{"task": "knn", "results": NaN}', "NaN is no number"),
        ("[]", "it is no object"),
        ('{"task": "probe"}', "holds the results of 'probe', not of 'knn'"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path, text, message):
    (tmp_path / "knn.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        write_report([tmp_path], tmp_path / "r.html")
    assert str(tmp_path / "knn.json") in str(caught.value)


def test_entries_that_nobody_needs_change_nothing(folders, page):
    places = {
        "knn": ["results.rows.0", "results.rows.0.source", "data.gallery"],
        "finetune": ["results.folds.0", "results.metrics", "results.metrics.auc", "settings.weights"],
        "segment": ["results.heads.lite", "results.heads.lite.lesions", "data.counts.test"],
        "probe": ["results.means.0"],
        "explain": ["results.pca", "results.gradcam.classifier", "results.gradcam.overlap"],
        "pretrain": ["recipe", "recipe.head"],
    }
    before = page(*folders)
    for folder in folders:
        path = next(folder.glob("*.json"))
        document = json.loads(path.read_text())
        shared = [] if folder.name == "pretrain" else ["settings", "data", "results"]
        for entry in [*(shared if folder.name != "explain" else shared[:2]), *places[folder.name]]:
            place = document
            for part in entry.split("."):
                place = place[int(part) if part.isdigit() else part]
            place["added later"] = 7 if entry.startswith("data.counts") else {"x": [1]}
        path.write_text(json.dumps({**document, "added later": None}))
    assert page(*folders) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.png", "which is no file beside it"),
        ("/etc/passwd", "which is no file beside it"),
        ("..", "which is no file beside it|cannot be read"),
        ("", "which is no file beside it"),
        (r"a\b.png", "which is no file beside it"),
        ("gone.png", "cannot be read"),
        ("text.png", "is no PNG file"),
    ],
)
def test_a_picture_that_is_not_there_is_named(tmp_path, name, message):
    path = write_explain(tmp_path / "a")
    Image.new("L", (2, 2)).save(tmp_path / "secret.png")
    (tmp_path / "a" / "text.png").write_text("text")
    document = json.loads(path.read_text())
    document["results"]["pca"]["file"] = name
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        write_report([tmp_path / "a"], tmp_path / "r.html")


# The command.


def test_the_command_writes_and_tells(command, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command(main, "report", *folders, "-o", "r.html", "--markdown", "r.md")
    assert ended.status == 0, ended.err
    assert "read     knn: knn, data set: BUSI, by its name" in ended.out
    assert [line for line in ended.out.splitlines() if line.startswith("wrote")] == [
        "wrote    r.html", "wrote    r.md", "wrote    r_pictures",
    ]  # fmt: skip
    assert "WARNING  random weights" in ended.err
    again = command(main, "report", *folders, "-o", "r.html", "--markdown", "r.md", "--force")
    assert again.status == 0


def test_the_command_refuses_in_one_sentence(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_knn(Path("a"))
    Path("old.html").write_text("old")
    assert "see --help" in refused(main, "report")
    assert "old.html exists already: add --force" in refused(main, "report", "a", "-o", "old.html")
    assert "old.html exists already" in refused(main, "report", "a", "-o", "new.html", "--markdown", "old.html")
    assert "name two files" in refused(main, "report", "a", "-o", "x.md", "--markdown", "./x.md")
    assert "the folder no/such does not exist" in refused(main, "report", "a", "-o", "no/such/r.html")
    assert "names no data set" in refused(main, "report", "a", "--dataset", "a")
    assert Path("old.html").read_text() == "old"
    assert not Path("new.html").exists()


def test_pictures_of_another_report_are_not_replaced_unasked(folders, tmp_path):
    write_report(folders, tmp_path / "one.html", markdown=tmp_path / "r.md")
    (tmp_path / "r.md").unlink()
    with pytest.raises(OutputError, match=r"figure-4-1.png exists already: add --force"):
        write_report(folders, tmp_path / "two.html", markdown=tmp_path / "r.md")
    assert not (tmp_path / "two.html").exists()


def test_help_names_the_papers_sections(command):
    ended = command(main, "report", "--help")
    assert ended.status == 0
    assert "tables 3 to 10 and figures 4 to 11" in " ".join(ended.out.split())


def test_a_report_needs_no_torch():
    code = "import sys, radiodino.train.report.run; print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["False", "False"]
