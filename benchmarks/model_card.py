"""The model card's way from an image on disk to network input: what this package's own is measured beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


def open_image(path: Path) -> Image.Image:
    """An image as RGB. The card opens with PIL, which knows no DICOM: that is read as pydicom's documentation does."""
    if path.suffix != ".dcm":
        with Image.open(path) as opened:
            return opened.convert("RGB")
    import pydicom
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    values = (values - values.min()) / max(float(values.max() - values.min()), 1.0) * 255
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def card_transform(size: int = 224) -> Callable[[Image.Image], Tensor]:
    """From an RGB image of any size to float32 (3, `size`, `size`), with torchvision."""
    from torchvision import transforms

    steps: Callable[[Image.Image], Tensor] = transforms.Compose([
        transforms.Resize((size, size)),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    return steps
