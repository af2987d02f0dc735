"""A TensorRT engine as one sealed file, which says where it runs and how it is built anew.

An engine is machine code for one card: it is made of an ONNX file that radiodino-export wrote, and holds for the very
TensorRT, card and driver that built it. One file and not two, as a copy or a half-finished replacement of one of two
would pair an engine with another's document: the container of `radiodino.runtime.model_file` holds the engine, what is
said of it here, and the document of the ONNX file unchanged, under one SHA-256.
"""

from __future__ import annotations

import json
import mmap
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import ModelFileError
from .model_file import ENGINE_FIELD, ModelFile, read_model_file
from .typed_document import DocumentError, from_document
from .wire import fields

SUFFIX = ".engine"
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """What an engine was built for; it runs where all of it is the same."""

    tensorrt: str
    """Version."""
    device: str
    """Name of the card."""
    compute_capability: str
    """For example ``9.0``."""
    driver: str
    """Version of NVIDIA's driver."""


_KEY_NAMES = {
    "tensorrt": "TensorRT",
    "device": "the card",
    "compute_capability": "its compute capability",
    "driver": "the driver",
}


@dataclass(frozen=True, kw_only=True)
class BatchProfile:
    """How many images one inference of an engine takes."""

    least: int
    usual: int
    """For which its kernels were chosen."""
    most: int

    def __str__(self) -> str:
        return f"{self.least},{self.usual},{self.most}"


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """The document of one engine."""

    schema: int = SCHEMA_VERSION
    key: EngineKey
    profile: BatchProfile
    compute: str
    """The arithmetic of what is not int8, ``fp32`` or ``fp16``: fixed in the network."""
    best: bool
    """Whether the float parts of an int8 ONNX file were made fp16 (``--best``)."""
    onnx_name: str
    """Of the ONNX file that the engine was built from, which lies beside it."""
    onnx_sha256: str
    verification: dict[str, Any] = field(default_factory=dict)
    """The report of the comparison with the original."""

    def to_json(self) -> str:
        """This document as JSON, the same bytes for the same content."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


def parse_engine_info(text: str, path: object) -> EngineInfo:
    """The document `text` read from the engine file `path`.

    Raises:
        ModelFileError: where it is no JSON, of another schema, or lacks or mistypes an entry.
    """
    try:
        document = json.loads(text)
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema != SCHEMA_VERSION:
            raise ModelFileError(
                f"{path} has an engine's document of schema {schema} and this radiodino reads {SCHEMA_VERSION}: build "
                "it again with  radiodino-export engine"
            )
        return from_document(EngineInfo, document)
    except (ValueError, DocumentError) as error:
        raise ModelFileError(
            f"the engine's document of {path} is damaged ({error}): build it again with  radiodino-export engine"
        ) from None


def engine_bytes(path: Path) -> bytes:
    """The serialised engine in a file that `read_model_file` has checked."""
    with path.open("rb") as stream:
        whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    return b"".join(bytes(part.data) for part in fields(whole) if part.number == ENGINE_FIELD)


def rebuild_command(path: Path, info: EngineInfo) -> str:
    """The command that builds the engine at `path` anew from the ONNX file beside it."""
    parts = ["radiodino-export", "engine", str(path.with_name(info.onnx_name)), "--batch", str(info.profile)]
    return shlex.join([*parts, *(["--best"] if info.best else []), "--output", str(path), "--force"])


def refuse_elsewhere(path: Path, info: EngineInfo, here: EngineKey) -> None:
    """Refuse an engine that was built for another TensorRT, card or driver, or from another ONNX file than lies beside.

    Args:
        path: of the engine file.
        info: its document.
        here: what this machine is.

    Raises:
        ModelFileError: naming what differs, and the command that builds the engine anew.
    """
    found = asdict(here)
    reasons = [
        f"{_KEY_NAMES[name]} was {was} and is {found[name]}"
        for name, was in asdict(info.key).items()
        if was != found[name]
    ]
    beside = path.with_name(info.onnx_name)
    if beside.exists() and (sha256 := read_model_file(beside).sha256) != info.onnx_sha256:
        reasons.append(f"{beside.name} beside it had the SHA-256 {info.onnx_sha256} and has {sha256}")
    if reasons:
        raise ModelFileError(
            f"{path} was built elsewhere or from another file ({'; '.join(reasons)}): "
            + ("" if beside.exists() else f"put {beside.name}, with the SHA-256 {info.onnx_sha256}, beside it and ")
            + f"build it anew with  {rebuild_command(path, info)}"
        )


def engine_info(file: ModelFile) -> EngineInfo | None:
    """What `file` says of its engine, None of an ONNX model."""
    return None if file.engine is None else parse_engine_info(file.engine, file.path)
