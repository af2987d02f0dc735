"""The pytest-benchmark suites are found where they are asked for and only there, and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")
pytest.importorskip("torchvision")
pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parent.parent
SUITES = ROOT / "benchmarks" / "suites"

pytestmark = pytest.mark.skipif(not SUITES.is_dir(), reason="the suites are not beside the tests")


def run(*arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_they_are_found_by_the_name_of_their_folder():
    items = re.findall(r"^(\S+)::", run("benchmarks", "--collect-only"), re.MULTILINE)
    subjects = ("classify", "embed", "load", "preprocess", "segment")
    assert set(items) == {f"benchmarks/suites/test_{subject}.py" for subject in subjects}


def test_one_of_them_runs_with_its_check():
    assert "1 passed" in run("benchmarks", "--benchmark-disable", "-k", "test_preprocess[PNG]")


def test_neither_plain_pytest_nor_an_installation_has_them():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'testpaths = ["tests"]' in text
    assert "benchmarks/suites" not in text.partition("[tool.ruff]")[0]
