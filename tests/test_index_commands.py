from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnxruntime")

from radiodino.runtime.cli import main
from radiodino.runtime.index import CaseIndex

ENGINE = ("--backend", "onnxruntime", "--threads", "1")


def save(path, seed, shade=None):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (6, 6), np.uint8) if shade is None else np.full((6, 6), shade, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("cases")
    for number in range(24):
        save(base / "scans" / ("benign", "malignant")[number % 2] / f"{number:02d}.png", number)
    return base


@pytest.fixture
def built(command, folder, toy_fp32, monkeypatch):
    monkeypatch.chdir(folder)
    if not Path("cases.index").exists():
        ended = command(main, "index", "scans", "-m", toy_fp32, "-o", "cases.index", *ENGINE)
        assert ended.status == 0
        assert "24 cases, 2 labels: benign, malignant" in ended.out
        assert "99th percentile" in ended.out
        assert "WARNING  random weights" in ended.out
    return folder / "cases.index"


def rows(path):
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_search_shows_and_writes(command, built, toy_fp32, tmp_path):
    outputs = [tmp_path / f"found{suffix}" for suffix in (".png", ".csv", ".json")]
    flat = [part for path in outputs for part in ("-o", path)]
    query = "scans/malignant/05.png"
    ended = command(main, "search", query, "--index", built, "-m", toy_fp32, "-k", 3, *flat, *ENGINE)
    assert ended.status == 0
    assert ended.out.splitlines()[1].split() == ["1", "1.0000", "malignant", query]
    assert "Research use only, not for diagnosis" in ended.out
    assert "WARNING  random weights" in ended.out
    assert "unlike" not in ended.out
    document = json.loads(outputs[2].read_text(encoding="utf-8"))
    assert [each["filename"] for each in document["neighbours"]] == [row["filename"] for row in rows(outputs[1])]
    assert len(document["neighbours"]) == 3
    assert rows(outputs[1])[0]["note"].startswith("Research use only, not for diagnosis; random weights")
    assert Image.open(outputs[0]).format == "PNG"
    assert not Image.open(outputs[0]).info


def test_an_unlike_image_is_said_everywhere(command, built, toy_fp32, tmp_path):
    save(tmp_path / "blank.png", 0, shade=255)
    sheet, table = tmp_path / "s.png", tmp_path / "t.json"
    ended = command(
        main, "search", tmp_path / "blank.png", "--index", built, "-m", toy_fp32, "-o", sheet, "-o", table, *ENGINE
    )
    assert "WARNING  unlike the indexed images: distance" in ended.out
    document = json.loads(table.read_text(encoding="utf-8"))
    assert document["unlike"] is document["blank"] is True
    assert document["distance"] > document["threshold"]
    knn = tmp_path / "k.csv"
    ended = command(main, "knn", tmp_path / "blank.png", "--index", built, "-m", toy_fp32, "-o", knn, *ENGINE)
    assert "1 of 1 images are blank or unlike the indexed ones" in ended.out
    assert rows(knn)[0]["warning"].startswith("unlike the indexed images")
    assert rows(knn)[0]["warning"].endswith("; blank: all its pixels are equal")
    assert rows(knn)[0]["notice"] == "blank: all its pixels are equal"


def test_knn_writes_what_classify_says(command, built, toy_fp32, tmp_path):
    for suffix in (".csv", ".json"):
        arguments = ("knn", "scans", "--index", built, "-m", toy_fp32, "-o", tmp_path / f"k{suffix}", "-k", "1,5")
        assert command(main, *arguments, *ENGINE).status == 0
    index = CaseIndex.open(built)
    votes = index.classify(np.asarray(index.embeddings), (1, 5))
    found = rows(tmp_path / "k.csv")
    document = json.loads((tmp_path / "k.json").read_text(encoding="utf-8"))
    for row, (line, answer) in enumerate(zip(found, document["images"], strict=True)):
        assert line["filename"] == answer["filename"] == index.case(row).name
        for k in (1, 5):
            assert line[f"k{k}"] == answer[f"k{k}"] == index.classes[votes.predictions[k][row]]
            for place, name in enumerate(index.classes):
                share = float(votes.scores[k][row, place])
                assert float(line[f"k{k}:{name}"]) == answer[f"k{k}:{name}"] == pytest.approx(share, abs=1e-6)
    assert document["k"] == [1, 5]
    assert document["classes"] == ["benign", "malignant"]
    assert document["note"].startswith("Research use only")


def test_an_index_of_another_file_is_refused(refused, built, toy_fp32, toy_fp16, tmp_path):
    for name in ("search", "knn"):
        sentence = refused(
            main, name, "scans/benign/00.png", "--index", built, "-m", toy_fp16, "-o", tmp_path / "a.csv", *ENGINE
        )
        assert "not comparable" in sentence
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("search", "scans/benign/00.png", "-o", "a.txt"), "ends in .png, .csv or .json"),
        (("search", "scans/benign/00.png", "-o", "cases.index"), "ends in .png"),
        (("search", "scans/benign/00.png", "-k", "25"), "k must lie from 1 to the 24"),
        (("search", "scans/benign/00.png", "-k", "0"), "k must lie from 1 to the 24"),
        (("search", "scans"), "holds 24 images"),
        (("search", "none.png"), "none.png"),
        (("knn", "scans", "-o", "a.txt"), "ends in .csv or .json"),
        (("knn", "scans", "-o", "a.csv", "-k", "x"), "use 1,5,20"),
        (("knn", "scans", "-o", "a.csv", "-k", "0"), "k must lie from 1"),
        (("knn", "scans", "-o", "a.csv", "-k", "1,99"), "k must lie from 1 to the 24"),
    ],
)
def test_errors_are_one_sentence(refused, built, toy_fp32, arguments, sentence):
    assert sentence in refused(main, *arguments, "--index", built, "-m", toy_fp32, *ENGINE)


def test_errors_of_index(refused, built, toy_fp32, tmp_path):
    model = ("-m", toy_fp32, *ENGINE)
    assert "ends in" in refused(main, "index", "scans", "-o", "a.npz", *model).replace("does not end in", "ends in")
    assert "16 to 1024" in refused(main, "index", "scans", "-o", "a.index", "--thumbnails", "3", *model)
    assert "above 0 and below 100" in refused(main, "index", "scans", "-o", "a.index", "--percentile", "100", *model)
    assert "exists already" in refused(main, "index", "scans", "-o", "cases.index", *model)
    (tmp_path / "text.index").write_bytes(b"text")
    for name in ("none.index", "text.index"):
        sentence = refused(main, "search", "scans/benign/00.png", "--index", tmp_path / name, *model)
        assert "radiodino-run index" in sentence
