"""Embeddings kept in a file, with what belongs to them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.folder import make_folder


def prepare_out(folder: Path, features: Path | None = None) -> None:
    """Make the folder of the results, and say early, before any work is done, what could not be written.

    Args:
        folder: of the results.
        features: the file in which embeddings are to be kept.

    Raises:
        InputError: where `features` does not end in ``.npz``.
        OutputError: where the folder cannot be made or written to, or `features` is a folder or lies in none.
    """
    if features is not None and features.suffix.lower() != ".npz":
        raise InputError(f"--features-out {features} must end in .npz")
    make_folder(folder)
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable: choose another --out")
    if features is not None and (features.is_dir() or not features.parent.is_dir()):
        raise OutputError(f"cannot write {features}: name a file in a folder that exists")


def save_features(
    path: Path,
    embeddings: Mapping[str, NDArray[np.float32]],
    *,
    filenames: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str],
    provenance: Mapping[str, Any],
) -> None:
    """Write an ``.npz`` file, as ``radiodino-run embed`` does, with the splits beside; an existing one is replaced.

    Args:
        path: the file.
        embeddings: float32 (N, D) each, by the name of the array: ``embeddings``, or ``embeddings_224``, ….
        filenames: of the N images.
        labels: likewise.
        splits: likewise.
        provenance: JSON-able; kept as text under ``provenance``.

    Raises:
        OutputError: where it cannot be written.
    """
    texts = {"filenames": filenames, "labels": labels, "splits": splits}
    arrays: dict[str, NDArray[Any]] = {key: np.array(list(text), np.str_) for key, text in texts.items()}
    arrays["provenance"] = np.array(json.dumps(provenance, ensure_ascii=False))
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as stream:
        cast(Any, np.savez)(stream, **embeddings, **arrays)
