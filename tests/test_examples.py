from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_nearest_image_finds_the_image_itself(toy_fp32, tmp_path):
    if not EXAMPLES.is_dir():
        pytest.skip("the examples are not beside the tests")
    folder = tmp_path / "gallery"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(random.integers(0, 256, (40, 40), np.uint8)).save(folder / f"{index}.png")
    command = [sys.executable, EXAMPLES / "nearest_image.py", toy_fp32, folder / "3.png", folder]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 5
    assert lines[0] == f"1.0000  {folder / '3.png'}"
