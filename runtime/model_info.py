"""What an exported file says of itself: the JSON document inside it, as typed, frozen dataclasses."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, Union

from .errors import ModelFileError
from .variants import Variant

SCHEMA_VERSION = 1
INTENDED_USE = (
    "Research use only. Not a medical device: not for diagnosis, screening, triage or treatment decisions. "
    "Outputs are image features of a self-supervised model and must be validated for the population and scanner "
    "they are used on."
)

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an 8-bit image becomes the network's input; the defaults are the model card's torchvision pipeline."""

    mode: str = "RGB"
    """PIL mode the image is converted to."""
    resize: tuple[int, int] = (224, 224)
    """Height and width in pixels; the aspect ratio is not kept and nothing is cropped."""
    interpolation: str = "bilinear"
    """PIL filter, antialiased when it shrinks."""
    value_range: tuple[float, float] = (0.0, 1.0)
    """What 0 and 255 become before `mean` and `std`."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of the network; -1 in `shape` is the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where the weights came from."""

    kind: str
    """``published``, ``file`` or ``random``."""
    name: str
    sha256: str
    licence: str | None
    """As stated at the source; None where nothing is stated."""
    detail: str = ""
    """What was taken from the file and changed."""
    seed: int | None = None
    """Of random weights."""
    checkpoint_key: str | None = None
    """The key of a training checkpoint that was asked for, None for the usual one."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The document of one exported file."""

    schema: int = SCHEMA_VERSION
    variant: str
    paper_name: str
    task: str
    precision: str
    """Of the stored weights: ``fp32`` or ``fp16``."""
    image_size: int
    patch: int
    embedding_size: int
    position_interpolation: str
    preprocessing: Preprocessing
    outputs: tuple[Output, ...]
    weights: Weights
    tools: dict[str, str] = field(default_factory=dict)
    """Versions of what made the file."""
    verification: dict[str, Any] = field(default_factory=dict)
    """The report of the comparison with the PyTorch original; empty where there was none."""
    intended_use: str = INTENDED_USE

    def to_json(self) -> str:
        """This document as JSON, the same bytes for the same content."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class LoadedInfo(ModelInfo):
    """The document of a file together with how this machine runs it."""

    file_sha256: str
    backend: str
    backend_version: str
    compute: str
    """The arithmetic in use: ``fp32``, ``bf16`` or ``fp16``."""
    assumed: bool = False
    """True where the file carried no document and the user named the variant."""


def parse_model_info(text: str, path: object) -> ModelInfo:
    """The document `text` read from the file `path`.

    Raises:
        ModelFileError: where it is no JSON, of a newer schema, or lacks or mistypes an entry.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise ModelFileError(f"the metadata of {path} is no JSON: export the file again") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise ModelFileError(f"the metadata of {path} has no schema version: export the file again")
    if schema != SCHEMA_VERSION:
        raise ModelFileError(
            f"{path} has metadata of schema {schema} and this radiodino reads schema {SCHEMA_VERSION}: "
            + ("upgrade radiodino" if schema > SCHEMA_VERSION else "export the file again")
        )
    try:
        return _from_dict(ModelInfo, document, "")
    except _SchemaError as error:
        raise ModelFileError(
            f"the metadata of {path} is not of schema {SCHEMA_VERSION} ({error}): export it again"
        ) from (None)


def assumed_info(variant: Variant, *, precision: str, image_size: int, outputs: tuple[Output, ...]) -> ModelInfo:
    """The document of a foreign file that the user takes for `variant` with the model card's preprocessing."""
    return ModelInfo(
        variant=variant.name,
        paper_name=variant.paper_name,
        task="embed",
        precision=precision,
        image_size=image_size,
        patch=variant.patch,
        embedding_size=variant.embedding_size,
        position_interpolation="unknown",
        preprocessing=Preprocessing(resize=(image_size, image_size)),
        outputs=outputs,
        weights=Weights(kind="unknown", name="unknown: the file carries no metadata", sha256="", licence=None),
    )


class _SchemaError(ValueError):
    """One entry is missing, unknown or of the wrong type."""


def _from_dict(cls: type[_T], data: Any, where: str) -> _T:
    """`data` as the dataclass `cls`, strictly: no entry missing, none unknown, each of its declared type."""
    if not isinstance(data, dict):
        raise _SchemaError(f"'{where}' is no object")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for name in [*(set(names) - set(data)), *(set(data) - set(names))]:
        raise _SchemaError(f"entry '{where}{name}' is {'missing' if name in names else 'unknown'}")
    return cls(**{name: _convert(hints[name], data[name], f"{where}{name}") for name in names})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _from_dict(hint, value, f"{where}.")  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        variadic = arguments[-1] is Ellipsis
        if variadic or len(value) == len(arguments):
            kinds = [arguments[0]] * len(value) if variadic else arguments
            return tuple(_convert(kind, item, where) for kind, item in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool) == isinstance(value, bool):
        return value
    raise _SchemaError(f"entry '{where}' is of the wrong type")
