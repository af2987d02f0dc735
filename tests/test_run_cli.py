from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime import Model
from radiodino.runtime.cli import main
from radiodino.runtime.model_file import read_model_file


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (tmp_path / "scans" / label).mkdir(parents=True)
        for index in range(3):
            pixels = random.integers(0, 256, (40, 30), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "scans" / label / f"{index}.png")
    return tmp_path / "scans"


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_becomes_a_table_with_labels(command, folder, toy_fp32, tmp_path):
    output = tmp_path / "out.csv"
    ended = command(main, "embed", folder, "--model", toy_fp32, "-o", output)
    assert ended.status == 0
    found = rows(output)
    assert list(found[0]) == ["filename", "label", *(f"f{i}" for i in range(48))]
    assert [row["label"] for row in found] == ["benign"] * 3 + ["malignant"] * 3
    paths = sorted(folder.rglob("*.png"))
    expected = Model.load(toy_fp32).embed(paths)
    values = np.array([[float(row[f"f{i}"]) for i in range(48)] for row in found], np.float32)
    assert np.allclose(values, expected, atol=1e-5)


def test_model_arithmetic_and_random_weights_are_announced(command, folder, toy_fp16, tmp_path):
    ended = command(main, "embed", folder, "--model", toy_fp16, "-o", tmp_path / "out.npz", "--compute", "fp32")
    assert "computing in fp32" in ended.err
    assert "WARNING  random weights" in ended.err
    with np.load(tmp_path / "out.npz") as table:
        assert table["embeddings"].shape == (6, 48)


def test_one_unreadable_image_does_not_end_the_run(command, folder, toy_fp32, tmp_path):
    (folder / "benign" / "1.png").write_bytes(b"this is text")
    output = tmp_path / "out.csv"
    ended = command(main, "embed", folder, "--model", toy_fp32, "-o", output)
    assert ended.status == 3
    assert len(rows(output)) == 5
    errors = (tmp_path / "out.csv.errors.csv").read_text(encoding="utf-8")
    assert "1.png" in errors


def test_strict_ends_at_the_first(refused, folder, toy_fp32, tmp_path):
    (folder / "benign" / "1.png").write_bytes(b"")
    sentence = refused(main, "embed", folder, "--model", toy_fp32, "-o", tmp_path / "out.csv", "--strict")
    assert "1.png" in sentence
    assert not (tmp_path / "out.csv").exists()


def test_a_real_dicom(command, toy_fp32, tmp_path):
    data = pytest.importorskip("pydicom.data")
    path = data.get_testdata_file("CT_small.dcm", download=False)
    output = tmp_path / "out.csv"
    assert command(main, "embed", path, "--model", toy_fp32, "-o", output, "--window", 40, 400).status == 0
    assert len(rows(output)) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--model": "none.onnx"}, "there is no file none.onnx"),
        ({"--output": "out.txt"}, ".csv"),
        ({"--backend": "tpu"}, "auto, cuda, openvino, onnxruntime"),
        ({"--threads": "0"}, "threads"),
        ({"--batch-size": "0"}, "batch"),
        ({"--frame": "0"}, "frame"),
        ({"--assume-variant": "tiny"}, "leave out --assume-variant"),
        ({"inputs": "no/such/folder"}, "no/such/folder"),
        ({"inputs": "*.nothing"}, "*.nothing"),
    ],
)
def test_errors_are_one_sentence(refused, folder, toy_fp32, tmp_path, monkeypatch, change, sentence):
    monkeypatch.chdir(tmp_path)
    options = {"--model": toy_fp32, "--output": "out.csv"} | {k: v for k, v in change.items() if k != "inputs"}
    flat = [part for pair in options.items() for part in pair]
    assert sentence in refused(main, "embed", change.get("inputs", folder), *flat)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"not a model", "no ONNX model"), (None, "damaged or was altered")],
)
def test_corrupt_models_are_refused(refused, folder, toy_fp32, tmp_path, content, sentence):
    data = bytearray(toy_fp32.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(bytes(data) if content is None else content)
    assert sentence in refused(main, "embed", folder, "--model", broken, "-o", tmp_path / "out.csv")


def test_usage_errors_are_one_sentence_too(refused, folder, toy_fp32):
    for arguments in (
        ["embed", folder],
        ["embed", "--no-such-option"],
        ["nonsense"],
        ["embed", folder, "--threads", "x"],
    ):
        assert refused(main, *arguments).endswith("see --help")


def test_an_interrupt_is_said(command, folder, toy_fp32, tmp_path, monkeypatch):
    from radiodino.runtime.embed import run

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "list_inputs", interrupted)
    ended = command(main, "embed", folder, "--model", toy_fp32, "-o", tmp_path / "out.csv")
    assert ended.status == 130
    assert "error: interrupted" in ended.err


def test_info_prints_the_document(command, refused, toy_fp32, tmp_path):
    found = json.loads(command(main, "info", toy_fp32).out)
    assert found["sha256"] == read_model_file(toy_fp32).sha256
    assert found["variant"] == "toy"
    assert found["weights"]["kind"] == "random"
    assert "there is no file" in refused(main, "info", tmp_path / "none.onnx")


def test_doctor_tells_what_auto_takes_and_why(command, toy_fp32, monkeypatch):
    text = command(main, "doctor").out
    for word in ("usable cores", "instruction sets", "openvino", "onnxruntime", "cuda", "auto takes", "RADIODINO_HOME"):
        assert word in text
    found = json.loads(command(main, "doctor", "--json").out)
    assert found["auto"]["takes"] == Model.load(toy_fp32).backend.name
    problems = {backend["name"]: backend["problem"] for backend in found["backends"]}
    assert problems["cuda"] is None or "radiodino[gpu]" in problems["cuda"]


def test_doctor_shows_a_double_installation(command, monkeypatch):
    from radiodino.runtime.backends import onnxruntime

    monkeypatch.setattr(onnxruntime, "_installed", lambda: {"onnxruntime": "1.0", "onnxruntime-gpu": "1.0"})
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in command(main, "doctor").out
