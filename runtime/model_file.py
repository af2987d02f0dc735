"""One exported file: an ONNX model that carries one JSON document about itself and a seal over both.

The file is the serialised `ModelProto`, then a metadata entry ``radiodino`` (the document), then a metadata entry
``radiodino.seal`` (the SHA-256 of all bytes before it). Because a protocol-buffer message may be written piecewise,
every ONNX tool reads the whole as an ordinary model, while a flipped bit, a truncation or a later edit is seen here.

An engine file (`radiodino.runtime.engine_file`) is the same with a field of its own in the place of the model.
"""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelFileError
from .wire import WireError, bytes_field, fields

_METADATA_PROPS = 14  # ModelProto.metadata_props
_GRAPH = 7  # ModelProto.graph
ENGINE_FIELD = 1001  # of no ModelProto
_DOCUMENT_KEY, _SEAL_KEY, _ENGINE_KEY = "radiodino", "radiodino.seal", "radiodino.engine"


@dataclass(frozen=True)
class ModelFile:
    """What a file says of itself before any engine opens it."""

    path: Path
    sha256: str
    """Of the whole file, as ``sha256sum`` prints it."""
    document: str | None
    """The JSON document, None in a file that some other tool wrote."""
    engine: str | None = None
    """The JSON document of an engine file's engine (`radiodino.runtime.engine_file`), None of an ONNX model."""


def seal(model: bytes, document: str) -> bytes:
    """The bytes of an exported file: `model` (a serialised ModelProto without our entries), `document` and the seal."""
    sealed = model + _metadata_entry(_DOCUMENT_KEY, document)
    return sealed + _metadata_entry(_SEAL_KEY, hashlib.sha256(sealed).hexdigest())


def seal_engine(engine: bytes, engine_document: str, document: str) -> bytes:
    """The bytes of an engine file: the serialised engine, what is said of it, the model's document and the seal."""
    return seal(bytes_field(ENGINE_FIELD, engine) + _metadata_entry(_ENGINE_KEY, engine_document), document)


def read_model_file(path: Path) -> ModelFile:
    """Read and check `path` without loading its weights into memory.

    Raises:
        ModelFileError: where the file is missing, no ONNX model or engine, damaged, or altered since it was exported.
    """
    try:
        with path.open("rb") as stream:
            if stream.seek(0, 2) == 0:
                raise ModelFileError(f"{path} is empty: export it again")
            # Left to be unmapped with its last view: an error on its way out still holds views of it.
            return _read(path, memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)))
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}: make it with radiodino-export, or check the path") from None
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error


def _read(path: Path, buffer: memoryview) -> ModelFile:
    entries: dict[str, str] = {}
    has_graph, has_engine, seal_start, end = False, False, None, 0
    try:
        for field in fields(buffer):
            has_graph |= field.number == _GRAPH
            has_engine |= field.number == ENGINE_FIELD
            if field.number == _METADATA_PROPS:
                key, value = _entry(field.data)
                entries[key] = value
                if key == _SEAL_KEY:
                    seal_start, end = field.start, field.end
    except (WireError, UnicodeDecodeError):
        raise ModelFileError(f"{path} is no ONNX model, or is damaged or truncated: copy or export it again") from None
    if not has_graph and not has_engine:
        raise ModelFileError(f"{path} is no ONNX model: make one with radiodino-export")
    digest = hashlib.sha256()
    if seal_start is None:
        if _DOCUMENT_KEY in entries or has_engine:
            raise ModelFileError(f"{path} has lost its seal, so it may be truncated or altered: export it again")
        digest.update(buffer)
        return ModelFile(path, digest.hexdigest(), None)
    digest.update(buffer[:seal_start])
    if digest.hexdigest() != entries[_SEAL_KEY] or end != len(buffer) or _DOCUMENT_KEY not in entries:
        raise ModelFileError(f"{path} is damaged or was altered after its export: copy or export it again")
    digest.update(buffer[seal_start:])
    engine = entries.get(_ENGINE_KEY)
    if len({has_engine, not has_graph, engine is not None}) > 1:
        raise ModelFileError(f"{path} is neither an ONNX model nor an engine with its document: export it again")
    return ModelFile(path, digest.hexdigest(), entries[_DOCUMENT_KEY], engine)


def _metadata_entry(key: str, value: str) -> bytes:
    return bytes_field(_METADATA_PROPS, bytes_field(1, key.encode()) + bytes_field(2, value.encode()))


def _entry(data: memoryview) -> tuple[str, str]:
    parts = {field.number: bytes(field.data).decode() for field in fields(data)}
    return parts.get(1, ""), parts.get(2, "")
