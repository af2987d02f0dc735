"""The notebooks in examples/: executed as they are, offline, on the bundled demonstration model."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime import Model, Window

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NAMES = (
    "embedding_classification",
    "embedding_visualization",
    "feature_extraction_dataset",
    "feature_extraction_single_image",
)
MODEL = "radiodino-tiny-demo-classify-fp16.onnx"
NOBODY = "http://127.0.0.1:9"
WITHOUT = ("torch", "timm", "onnx")
"""What no notebook may load."""

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not beside the tests")


@dataclass(frozen=True)
class Shown:
    """What the cells of a notebook showed."""

    cells: dict[str, list[Any]]

    def text(self, *names: str) -> str:
        """Of these cells, by default of all."""
        outputs = [output for name in names or self.cells for output in self.cells[name]]
        return "".join(
            output.text if output.output_type == "stream" else output.data.get("text/plain", "") for output in outputs
        )

    def pictures(self, name: str) -> int:
        return sum("image/png" in output.get("data", {}) for output in self.cells[name])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where all of them run, so that the first exports the model for all."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def execute(folder, tmp_path, monkeypatch):
    """Executes a notebook; it must leave nothing but what it says."""
    why = "notebooks are executed with the extra dev"
    nbformat, nbclient, _ = (pytest.importorskip(name, reason=why) for name in ("nbformat", "nbclient", "ipykernel"))
    for variable in ("RADIODINO_DATA", "RADIODINO_IMAGE", "RADIODINO_IMAGES", "RADIODINO_MODEL"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, NOBODY)

    def execute(name: str) -> Shown:
        if "RADIODINO_MODEL" not in os.environ:
            pytest.importorskip("torch", reason="the demonstration model is exported with PyTorch")
        notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
        loaded = nbformat.v4.new_code_cell(f"import sys; print([name for name in {WITHOUT} if name in sys.modules])")
        notebook.cells.append(loaded)
        place = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
        # The end of the line may come as an output of its own.
        assert "".join(output.text for output in notebook.cells.pop().outputs) == "[]\n"
        left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert {name for name in left if not name.startswith("features/")} <= {MODEL}
        return Shown({cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"})

    return execute


@pytest.mark.parametrize("name", NAMES)
def test_they_are_kept_clean(name):
    """No outputs, which would hold what one machine showed; the use is said; PyTorch is left to the export."""
    text = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    assert "Research use only" in "".join(notebook["cells"][0]["source"])
    assert not re.search(r"/(home|root|tmp|usr|opt|work|Users)/|[A-Z]:\\\\", text)
    assert not re.search(rf"import ({'|'.join(WITHOUT)})\b", text)


def test_there_are_no_others():
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(NAMES)


def test_one_image(execute, folder):
    shown = execute("feature_extraction_single_image")
    assert "a CT slice of pydicom's test files" in shown.text("settings")
    assert "demonstration weights: a demonstration, not Radio DINO's" in shown.text("model")
    assert "128 × 128 pixels; notice: None" in shown.text("image")
    assert shown.pictures("image") == 1
    assert shown.pictures("maps") == 2
    image = pytest.importorskip("pydicom.data").get_testdata_file("CT_small.dcm", download=False)
    (found,) = Model.load(folder / MODEL).classify(image, window=Window(40, 400))
    assert f"(192,) float32 length {np.linalg.norm(found.embedding):.2f}" in shown.text("embedding")
    assert f": {found.label}, by largest probability" in shown.text("class")
    for name, probability in zip(found.classes, found.probabilities, strict=True):
        assert re.search(rf"{name} +{probability:.3f}\n", shown.text("class"))


def test_one_image_of_the_readers_own_with_a_file_that_only_embeds(
    execute, folder, images, toy_fp32, tmp_path, monkeypatch
):
    images[3].save(tmp_path / "photo.png")
    monkeypatch.setenv("RADIODINO_IMAGE", str(tmp_path / "photo.png"))
    monkeypatch.setenv("RADIODINO_MODEL", str(toy_fp32))
    shown = execute("feature_extraction_single_image")
    assert "CT slice" not in shown.text("settings")
    assert "random weights" in shown.text("model")
    assert "64 × 64 pixels; notice: None" in shown.text("image")
    assert "(48,) float32" in shown.text("embedding")
    assert "no classifier: export one with --task classify" in shown.text("class")
    assert shown.pictures("maps") == 1
    assert "this file gives no cam: export one with --outputs cam" in shown.text("maps")


def test_a_data_set(execute, folder):
    shown = execute("feature_extraction_dataset")
    assert {path.name for path in (folder / "features").iterdir()} == {
        "scans.zip",
        "embeddings.csv",
        *(f"embeddings.csv.{beside}" for beside in ("errors.csv", "notices.csv", "info.json")),
    }
    with (folder / "features/embeddings.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert {row["label"] for row in rows} == {"ct", "mr", "ultrasound", "other"}
    assert "rows     8 from 7 of 9 inputs" in shown.text("command")
    for cell in ("table", "generator"):
        for row in rows:
            assert row["filename"] in shown.text(cell)
        assert "MR_truncated.dcm" in shown.text(cell)
        assert "it holds no pixel data, as reports and plans do" in shown.text(cell)
        assert "it states no window" in shown.text(cell)
    assert "not for diagnosis" in shown.text("table")
    found = re.fullmatch(r"the same images: True; smallest cosine ([01]\.\d+)\n", shown.text("compare"))
    assert float(found[1]) > 0.999


@pytest.mark.parametrize("of", ["drawn", "real"])
def test_classes(execute, of, request, monkeypatch):
    if of == "real":
        monkeypatch.setenv("RADIODINO_DATA", str(request.getfixturevalue("data_dir")))
    shown = execute("embedding_classification")
    said = {"drawn": "drawn by this notebook: no radiology", "real": "mednist_64.zip"}[of]
    assert said in shown.text("images")
    assert f"of: {said}" in shown.text("judge").replace("pictures ", "")
    figures = re.findall(r"accuracy (\d\.\d{3}), macro F1 (\d\.\d{3}), (\d+) held-out images\n", shown.text("judge"))
    most_frequent, *learnt = [float(accuracy) for accuracy, _, _ in figures]
    assert {int(count) for _, _, count in figures} == {40 if of == "drawn" else 80}
    assert len(learnt) == 2
    assert min(learnt) > most_frequent + 0.3
    assert "array" in shown.text("confusion")


def test_a_map_of_the_readers_own_archive(execute, tmp_path, pack, monkeypatch):
    random, members = np.random.default_rng(0), {}
    for kind, spread in (("calm", 10), ("wild", 60)):
        for number in range(8):
            stream = io.BytesIO()
            pixels = np.clip(random.normal(120, spread, (40, 40)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(stream, "PNG")
            members[f"{kind}/{number}.png"] = stream.getvalue()
    pack(str(tmp_path / "own.zip"), members)
    monkeypatch.setenv("RADIODINO_IMAGES", str(tmp_path / "own.zip"))
    shown = execute("embedding_visualization")
    assert shown.text("images") == "16 images of 2 classes (calm, wild): own.zip\n"
    assert "(16, 192) float32" in shown.text("embeddings")
    assert shown.pictures("map") == 1


def test_images_are_chosen_alike():
    """What one of the two was tested with holds for the other."""
    one, other = (
        {cell["id"]: cell["source"] for cell in json.loads((EXAMPLES / f"{name}.ipynb").read_bytes())["cells"]}
        for name in NAMES[:2]
    )
    assert one["images"] == other["images"]
    assert one["embeddings"] == other["embeddings"]
