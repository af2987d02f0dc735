"""A file on disk to network input (decode, resize, normalise), beside the model card's PIL and torchvision."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from radiodino.benchmarks.mixed_images import large_jpeg, png, sources, windowed_dicom
from radiodino.runtime.decode import decode
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

pytestmark = pytest.mark.benchmark(max_time=0.5, min_rounds=10, warmup=True, warmup_iterations=3)

KINDS = {
    "JPEG": ("1024² JPEG", ".jpg", large_jpeg),
    "PNG": ("512² PNG", ".png", png),
    "DICOM": ("512² DICOM, 12 bits", ".dcm", windowed_dicom),
}
GREY_LEVEL = 1 / 255 / 0.224
"""One of 256, after normalisation by the smallest standard deviation."""


class File(NamedTuple):
    """One image on disk."""

    kind: str
    path: Path
    shown: Path
    """A file that PIL reads, of the same pixels: of a DICOM file the image that it was made of, as PNG."""
    most: float
    """By which the network's input may differ from the model card's."""


@pytest.fixture(params=tuple(KINDS))
def file(request: pytest.FixtureRequest, tmp_path: Path) -> File:
    kind, suffix, encode = KINDS[request.param]
    with Image.open(BytesIO(next(sources(1, None)))) as opened:
        image = opened.convert("L")
    path, shown = tmp_path / f"image{suffix}", tmp_path / "shown.png"
    path.write_bytes(encode(image))
    shown.write_bytes(png(image))
    return File(kind, path, shown, GREY_LEVEL) if suffix == ".dcm" else File(kind, path, path, 0)


@pytest.fixture
def card(threads: int) -> Callable[[Path], Any]:
    """The model card's way."""
    pytest.importorskip("torchvision")
    import torch

    from radiodino.benchmarks.model_card import card_transform, open_image

    torch.set_num_threads(threads)
    transform = card_transform()
    return lambda path: transform(open_image(path))


def test_preprocess(benchmark: Any, file: File, card: Callable[[Path], Any]) -> None:
    preprocess = Preprocessor(Preprocessing())

    def read() -> Any:
        return preprocess(next(decode(file.path)).image)

    assert np.abs(read() - card(file.shown).numpy()).max() <= file.most
    benchmark.group = f"preprocess a {file.kind}"
    benchmark(read)


def test_preprocess_model_card(benchmark: Any, file: File, card: Callable[[Path], Any]) -> None:
    benchmark.group = f"preprocess a {file.kind}"
    benchmark(card, file.path)
