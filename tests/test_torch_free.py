"""The runtime runs where PyTorch is not installed: it never imports what a clinic workstation has not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

FORBIDDEN = {"torch", "timm", "torchvision", "onnx", "onnxscript", "transformers", "scipy", "sklearn", "pandas"}
ROOT = Path(__file__).resolve().parent.parent

EMBED = """
import json, sys
import numpy as np
from radiodino.runtime import Model
import radiodino.runtime.cli
model = Model.load(sys.argv[1], backend=sys.argv[2])
assert model.embed(np.zeros((20, 30), np.uint8)).shape == (1, 48)
try:
    from pydicom.data import get_testdata_file
    model.embed(get_testdata_file("CT_small.dcm", download=False))
finally:
    print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_an_embedding_loads_none_of_them(toy_fp16, backend):
    pytest.importorskip(backend)
    command = [sys.executable, "-c", EMBED, str(toy_fp16), backend]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(finished.stdout.splitlines()[-1])}
    assert not FORBIDDEN & loaded


def test_importing_the_runtime_loads_no_engine_and_no_dicom():
    code = "import json, sys, radiodino.runtime; print(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(finished.stdout)}
    assert not {"openvino", "onnxruntime", "pydicom", "rich", "typer", "pyarrow"} & loaded


LIGHT = """
import json, sys
import radiodino.runtime
print(json.dumps(sorted(sys.modules)))
from radiodino.runtime.decode import decode
for path in sys.argv[1:]:
    next(decode(path))
print(json.dumps(sorted(sys.modules)))
"""


def test_a_cold_start_loads_only_what_one_image_needs(tmp_path):
    """Each module costs every start its time and memory: what is loaded for what is a matter of the interface."""
    paths = [str(tmp_path / "image.png"), str(tmp_path / "image.jpg")]
    for path in paths:
        Image.new("L", (9, 9), 3).save(path)
    finished = subprocess.run([sys.executable, "-c", LIGHT, *paths], capture_output=True, text=True, check=True)
    imported, decoded = (set(json.loads(line)) for line in finished.stdout.splitlines())
    package = "radiodino.runtime"
    later = {f"{package}.{name}" for name in ("dicom.frames", "tasks.segmentation", "tasks.explanation", "prefetch")}
    assert not {"concurrent.futures", "platformdirs", "PIL.PngImagePlugin", *later} & imported
    assert not {"PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "pydicom", f"{package}.dicom.frames"} & decoded


def test_names_that_are_loaded_late_are_there():
    import radiodino.runtime as runtime

    for name in runtime.__all__:
        assert getattr(runtime, name).__name__ == name if name != "VARIANTS" else runtime.VARIANTS
    with pytest.raises(AttributeError, match="no attribute 'Diagnosis'"):
        getattr(runtime, "Diagnosis")  # noqa: B009


def test_imports_run_one_way():
    """runtime ← train ← export ← benchmarks, read from the sources."""
    if not (ROOT / "runtime").is_dir():
        pytest.skip("the sources are not beside the tests")
    order = ["runtime", "train", "export", "benchmarks"]
    for index, package in enumerate(order):
        later = order[index + 1 :]
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for other in later:
                assert f"radiodino.{other} import" not in text, path
                assert f"import radiodino.{other}" not in text, path
                assert f"from radiodino.{other}." not in text, path


def test_no_folder_is_importable_by_its_bare_name():
    """Installed, there is `radiodino.train` and no `train`; run from elsewhere than the repository's root."""
    code = (
        "import importlib.util as u; print([n for n in ('train', 'export', 'runtime', 'benchmarks') if u.find_spec(n)])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert finished.stdout.strip() == "[]"


def test_no_test_imported_a_folder_by_its_bare_name():
    assert not {"train", "export", "runtime", "benchmarks"} & set(sys.modules)


def test_every_package_is_typed_and_installed():
    from importlib.resources import files

    for package in ("runtime", "train", "export", "benchmarks"):
        assert files(f"radiodino.{package}").joinpath("py.typed").is_file(), package
