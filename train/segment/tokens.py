"""The frozen backbone's patch tokens: computed once for all epochs, and kept in a file without a name."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from radiodino.runtime.errors import OutputError

_CHUNK = 8  # images per pass of the backbone


def patch_tokens(backbone: nn.Module, images: Tensor) -> Tensor:
    """The tokens (N, G², D) of the patches in row order, after the final norm.

    Args:
        backbone: of `radiodino.train.backbone.build_backbone`.
        images: (N, 3, S, S), normalised, of the size that it was built for.
    """
    tokens: Tensor = cast(Any, backbone).forward_features(images)[:, 1:]
    return tokens


class StoredTokens:
    """Tokens of a number of images, in a file that vanishes with this object.

    They are far larger than the images (0.6 MB each for `tiny` at 448 px in float32), and read in random order; the
    operating system keeps in memory what fits.

    Args:
        count: how many images.
        patches: of each.
        embedding_size: of a token.
        half: whether to keep them in float16, which serves for training. Their values are those after a LayerNorm, far
            within its range.
        folder: where the file lies; it must exist.

    Raises:
        OutputError: where they do not fit on the disk.
    """

    def __init__(self, count: int, patches: int, embedding_size: int, *, half: bool, folder: Path) -> None:
        kind: Any = np.float16 if half else np.float32
        shape = (count, patches, embedding_size)
        needed = count * patches * embedding_size * np.dtype(kind).itemsize
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise OutputError(
                f"the tokens of {count} images need {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are "
                "free: make room, lower views.count, or set it to 0, which keeps none"
            )
        try:
            with tempfile.TemporaryFile(dir=folder) as stream:
                self._values = np.memmap(stream, kind, "w+", shape=shape)
        except OSError as error:
            raise OutputError(f"cannot keep tokens in {folder}: {error.strerror or error}") from error

    def fill(
        self,
        backbone: nn.Module,
        images: Callable[[int, int], Tensor],
        autocast: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """Run `backbone` on all images.

        Args:
            backbone: see `patch_tokens`.
            images: gives the normalised images from one place up to another.
            autocast: a context for the pass.
            progress: is told (done, total) images.
        """
        count = len(self._values)
        for start in range(0, count, _CHUNK):
            end = min(start + _CHUNK, count)
            with torch.inference_mode(), autocast():
                self._values[start:end] = patch_tokens(backbone, images(start, end)).float().cpu().numpy()
            progress(end, count)

    def read(self, places: Any, device: torch.device) -> Tensor:
        """The tokens at `places`, float32, on `device`."""
        return torch.from_numpy(np.asarray(self._values[places])).to(device).float()
