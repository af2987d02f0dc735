"""The ten images on which every export is compared with its original: real-looking ones and hostile ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

_SIDE = 256
BATCHES = (1, 2, 7)
"""How the images are batched: a batch of one, a small one and an odd one."""


def probe_images() -> list[Image.Image]:
    """Ten images of 256×256 pixels, mode L or RGB, the same on every machine."""
    random = np.random.default_rng(20251107)
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    body = (x / 0.8) ** 2 + (y / 0.95) ** 2 < 1
    tissue = _smooth(random, 8)
    lesion = np.exp(-(((x - 0.2) / 0.18) ** 2 + ((y + 0.1) / 0.12) ** 2) * 3)
    speckle = random.rayleigh(0.7, (_SIDE, _SIDE))
    images = [
        body * (0.35 + 0.4 * tissue + 0.5 * lesion),  # a slice through a body, as CT and MRI look
        (0.25 + 0.5 * tissue) * (1 - 0.8 * lesion) * speckle,  # speckle and a dark lesion, as ultrasound looks
        np.clip(0.9 - 0.5 * (x**2 + 0.3 * y**2) + 0.2 * _smooth(random, 20), 0, 1),  # a projection, as X-ray looks
        random.random((_SIDE, _SIDE)),  # noise
        random.random((_SIDE, _SIDE, 3)),  # noise in colour
        np.zeros((_SIDE, _SIDE)),
        np.ones((_SIDE, _SIDE)),
        (np.indices((_SIDE, _SIDE)).sum(0) // 16) % 2,  # the highest contrast there is
        (x > 0) * 1.0,  # one edge
        np.where((abs(x) < 0.01) & (abs(y) < 0.01), 1.0, 0.0),  # one white dot
    ]
    return [Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8)) for image in images]


def probe_batches(image_size: int) -> list[NDArray[np.float32]]:
    """The probe images as network input, float32 (B, 3, S, S), in the batches of `BATCHES`."""
    preprocess = Preprocessor(Preprocessing(resize=(image_size, image_size)))
    inputs = np.stack([preprocess(image) for image in probe_images()])
    return np.split(inputs, np.cumsum(BATCHES)[:-1])


def _smooth(random: np.random.Generator, cells: int) -> NDArray[np.float64]:
    """Random structure in [0, 1] with features of about `_SIDE / cells` pixels."""
    coarse = Image.fromarray(random.random((cells, cells)).astype(np.float32))
    fine = np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), np.float64)
    scaled: NDArray[np.float64] = (fine - fine.min()) / (fine.max() - fine.min())
    return scaled
