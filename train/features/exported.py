"""An exported file as a source of embeddings: those that ``radiodino-run embed`` writes for the same images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.backends.select import statuses
from radiodino.runtime.errors import BackendError, InputError, ModelFileError
from radiodino.runtime.model import Model
from radiodino.runtime.model_file import read_model_file

from .source import check_pixels

if TYPE_CHECKING:
    from .open import SourceOptions

_BACKENDS = {"auto": "auto", "cuda": "cuda"}  # and for cpu the first of the others


class ExportedSource:
    """An exported file, run by the runtime.

    Images are decoded at the file's input size with the filter it prescribes, so that its own preprocessing finds
    nothing left to resize.

    Args:
        model: made with `Model.load`.
        name: what to call it.

    Raises:
        ModelFileError: where the file prescribes another resizing than that of decoded images (bilinear, to a square).
    """

    def __init__(self, model: Model, name: str) -> None:
        info = model.info
        height, width = info.preprocessing.resize
        if height != width or info.preprocessing.interpolation != "bilinear":
            raise ModelFileError(
                f"{name} takes images resized to {height} × {width} px by '{info.preprocessing.interpolation}' and "
                "this evaluation decodes them to squares by 'bilinear': embed them with radiodino-run"
            )
        self.name = name
        self.size = info.embedding_size
        self.image_size = height
        self.device = f"{info.backend} {info.backend_version} in {info.compute}"
        self._model = model

    def describe(self) -> dict[str, Any]:
        """See `FeatureSource`."""
        info = self._model.info
        return {
            "kind": "exported",
            "source": Path(self.name).name,
            "sha256": info.file_sha256,
            "licence": info.weights.licence,
            "detail": f"weights {info.weights.kind}: {info.weights.name}, SHA-256 {info.weights.sha256}",
            "variant": info.variant,
            "weights_kind": info.weights.kind,
            "notice": info.notice,
            "image_size": self.image_size,
            "preprocessing": asdict(info.preprocessing),
            "device": self.device,
            "precision": f"{info.precision} stored, {info.compute} computed",
        }

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `FeatureSource`."""
        check_pixels(pixels, self.image_size)
        images = (image[0] if len(image) == 1 else image.transpose(1, 2, 0) for image in pixels)
        batch = np.stack([self._model.preprocess(Image.fromarray(image)) for image in images])
        return self._model.run(batch)["embedding"]


def open_exported(text: str, options: SourceOptions) -> ExportedSource:
    """The exported file at `text`.

    Args:
        text: the path of an ``.onnx`` file.
        options: a size other than the file's own is refused; ``precision`` asks for an arithmetic, None follows the
            file.

    Raises:
        ModelFileError: where it is no exported file, or see `ExportedSource`.
        InputError: where another image size is asked for than the file has.
        BackendError: where what is asked for is not active on this machine.
    """
    if read_model_file(Path(text)).document is None:
        raise ModelFileError(
            f"{text} carries no radiodino metadata, so its preprocessing is unknown: make it with radiodino-export"
        )
    backend = _BACKENDS.get(options.accelerator) or _cpu_backend(options.accelerator)
    source = ExportedSource(Model.load(text, backend=backend, compute=options.precision), text)
    refuse_other_size(text, source.image_size, options.image_size)
    return source


def refuse_other_size(name: str, own: int, asked: int | None) -> None:
    """See that a source of one fixed size is not asked for another.

    Raises:
        InputError: where it is.
    """
    if asked not in (None, own):
        raise InputError(f"{name} takes images of {own} px alone and {asked} px were asked for: ask for {own} px")


def _cpu_backend(accelerator: str) -> str:
    if accelerator != "cpu":
        raise InputError(f"there is no accelerator '{accelerator}': choose one of auto, cpu, cuda")
    reasons = []
    for status in statuses():
        if status.name == "cuda":
            continue
        if status.arithmetic and not status.problem:
            return status.name
        reasons.append(f"{status.name}: {status.problem}")
    raise BackendError(f"no engine can run an exported file on the CPU here; {'; '.join(reasons)}")
