"""The image that is asked about: decoded, and embedded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..blank import is_blank
from ..decode import decode
from ..errors import InputError, UnreadableImageError
from ..frame import Frame, Window
from ..inputs.listing import list_inputs

if TYPE_CHECKING:
    from ..embed.embedding_model import EmbeddingModel


@dataclass(frozen=True)
class Query:
    """One image."""

    name: str
    frame: Frame
    embedding: NDArray[np.float32]
    """Float32 (1, D)."""

    @property
    def is_blank(self) -> bool:
        """Whether all its pixels are equal."""
        return is_blank(self.frame.image)


def read_query(model: EmbeddingModel, image: str, *, window: Window | None, frame: int | None) -> Query:
    """Decode and embed one image.

    Args:
        model: what embeds.
        image: a file.
        window: centre and width for DICOM images, in place of the file's own.
        frame: which frame of a file with several, counted from 1.

    Raises:
        InputError: it stands for several images, or has several frames and none was chosen.
        UnreadableImageError: it cannot be read.
    """
    items = list_inputs([image]).items
    if len(items) != 1:
        raise InputError(f"{image} holds {len(items)} images: name one, or use radiodino-run knn for many")
    item = items[0]
    try:
        found = list(islice(decode(item.load(), window=window, frame=frame), 2))
    except UnreadableImageError as error:
        raise UnreadableImageError(error.reason, item.name) from None
    if not found:
        raise UnreadableImageError("it holds no image", item.name)
    if len(found) > 1:
        raise InputError(f"{item.name} has several frames: choose one with --frame")
    embedding = model.run(model.preprocess(found[0].image)[None])["embedding"]
    return Query(item.name, found[0], embedding)
