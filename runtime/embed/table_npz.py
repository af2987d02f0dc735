"""``.npz`` files, written in pieces; numpy itself would need each array whole."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .results import Results


def write_npz(path: Path, results: Results) -> None:
    """``embeddings`` float32 (n, D), ``filenames`` and ``labels`` (n,) unicode, ``provenance`` JSON."""
    widths = [1, 1]
    for row in results.rows():
        widths = [max(width, len(text)) for width, text in zip(widths, row, strict=True)]
    count, size = results.embeddings.shape
    with zipfile.ZipFile(path, "w") as archive:
        embeddings = (chunk for _, _, chunk in results.chunks())
        _write_member(archive, "embeddings", np.dtype("<f4"), (count, size), embeddings, zipfile.ZIP_STORED)
        for column, (key, width) in enumerate(zip(("filenames", "labels"), widths, strict=True)):
            dtype = np.dtype(f"<U{width}")
            texts = (np.array(chunk[column], dtype) for chunk in results.chunks())
            _write_member(archive, key, dtype, (count,), texts, zipfile.ZIP_DEFLATED)
        text = np.array(results.provenance_json())
        _write_member(archive, "provenance", text.dtype, (), [text], zipfile.ZIP_DEFLATED)


def _write_member(
    archive: zipfile.ZipFile,
    key: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    chunks: Iterable[NDArray[Any]],
    compression: int,
) -> None:
    info = zipfile.ZipInfo(f"{key}.npy")  # dated 1980, so that equal results are equal files
    info.compress_type = compression
    with archive.open(info, "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in chunks:
            member.write(chunk.astype(dtype, copy=False).tobytes())
