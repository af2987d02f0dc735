"""Parquet files, by pyarrow where it is installed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError
from .results import Results


def write_parquet(path: Path, results: Results) -> None:
    """Columns ``filename``, ``label``, ``f0``, ``f1``, … (float32); the provenance is in the schema's metadata.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa, pq = require_pyarrow()
    size = results.embeddings.shape[1]
    texts = [("filename", pa.string()), ("label", pa.string())]
    fields = [*texts, *((f"f{index}", pa.float32()) for index in range(size))]
    schema = pa.schema(fields, metadata={"radiodino": results.provenance_json()})
    compression = dict.fromkeys(("filename", "label"), "zstd")
    with (
        path.open("wb") as file,  # not by its path, so that a full disk is an ordinary OSError
        pq.ParquetWriter(file, schema, compression=compression, use_dictionary=["label"]) as writer,
    ):
        for names, labels, embeddings in results.chunks():
            columns = [pa.array(names, pa.string()), pa.array(labels, pa.string())]
            columns += [pa.array(np.ascontiguousarray(embeddings[:, index])) for index in range(size)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def require_pyarrow() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet") from None
