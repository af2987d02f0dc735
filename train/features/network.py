"""A PyTorch network as a source of embeddings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radiodino.runtime.errors import InputError
from radiodino.runtime.model_info import Preprocessing

from ..data.normalise import normalise
from .device import in_words
from .source import check_pixels

PRECISIONS = ("fp32", "bf16")


class NetworkSource:
    """A network in evaluation mode, fed as the model card does (``ToTensor``, ``Normalize``).

    Normalising happens on the device, so that 8-bit pixels are all that travels to it.

    Args:
        network: float32 images (B, 3, N, N), normalised → (B, D).
        name: see `FeatureSource`.
        size: D.
        image_size: at which images are decoded, bilinear, aspect ratio not kept.
        network_size: N; where it is smaller than `image_size`, the first N rows and columns are taken.
        provenance: ``kind``, ``source``, ``sha256``, ``licence``, ``detail``.
        device: where the network runs; it is moved there.
        precision: ``fp32``, or ``bf16`` for autocast.
        mean: of the channels, in units of the full range; ImageNet's by default.
        std: likewise.

    Raises:
        InputError: where there is no such precision.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        size: int,
        image_size: int,
        network_size: int,
        provenance: dict[str, Any],
        device: torch.device,
        precision: str = "fp32",
        mean: tuple[float, ...] = Preprocessing.mean,
        std: tuple[float, ...] = Preprocessing.std,
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"there is no precision '{precision}': choose one of {', '.join(PRECISIONS)}")
        self.name = name
        self.size = size
        self.image_size = image_size
        self.device = in_words(device)
        self._network = network.to(device).eval()
        self._network_size = network_size
        self._provenance = provenance
        self._where = device
        self._precision = precision
        self._mean, self._std = mean, std

    def describe(self) -> dict[str, Any]:
        """See `FeatureSource`."""
        resize = (self.image_size, self.image_size)
        preprocessing = asdict(Preprocessing(resize=resize, mean=self._mean, std=self._std))  # type: ignore[arg-type]
        if self._network_size != self.image_size:
            preprocessing["cut_to_first"] = (self._network_size, self._network_size)
        return {
            **self._provenance,
            "image_size": self.image_size,
            "preprocessing": preprocessing,
            "device": self.device,
            "precision": self._precision,
        }

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `FeatureSource`."""
        check_pixels(pixels, self.image_size)
        try:
            with torch.inference_mode(), torch.autocast(self._where.type, torch.bfloat16, self._precision == "bf16"):
                found: Tensor = self._network(self._input(pixels))
                return found.float().cpu().numpy()
        except torch.OutOfMemoryError as error:  # an accelerator's; commands know how to say the general kind
            raise MemoryError(str(error)) from error

    def _input(self, pixels: NDArray[np.uint8]) -> Tensor:
        raw = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(self._where)
        return normalise(raw[..., : self._network_size, : self._network_size], self._mean, self._std)
