"""What an exported file says of itself: the JSON document inside it, as typed, frozen dataclasses."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .engine_file import EngineInfo
from .errors import ModelFileError
from .notice import notice_of
from .quantisation_info import QuantisationInfo
from .typed_document import DocumentError, from_document
from .variants import Variant

SCHEMA_VERSION = 4
"""2: as 1, with `ModelInfo.notice`. 3: as 2, with `ModelInfo.classifier` and `ModelInfo.segmenter`. 4: as 3, with
`ModelInfo.quantisation` and `ModelInfo.bf16_residual`. A reader of an older one refuses a newer one, where it would
drop what it does not know otherwise."""
_ADDED: dict[int, dict[str, Any]] = {
    2: {"notice": None},
    3: {"classifier": None, "segmenter": None},
    4: {"quantisation": None, "bf16_residual": False},
}
"""What each schema added to the one before it, with the value that stands for its absence."""
_OLDEST_SCHEMA = 1
TASKS = ("embed", "classify", "segment", "classify+segment")
"""What a file may be made for; every file gives embeddings too."""
INTENDED_USE = (
    "Research use only. Not a medical device: not for diagnosis, screening, triage or treatment decisions. "
    "Outputs - image features, and where the file has heads for them classes, masks and maps - must be validated for "
    "the population and scanner they are used on."
)


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
    """``published``, ``file``, ``demo`` (this project's demonstration weights) or ``random``."""
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
class ClassifierInfo:
    """What a file says of its classification head: outputs ``logits`` and ``probabilities``, both (B, C)."""

    classes: tuple[str, ...]
    """Names, in the order of the outputs; at least two."""
    temperature: float
    """``probabilities`` is softmax(logits / temperature); above 0, fitted to validation images."""
    thresholds: dict[str, float] | None
    """Of two classes: the second is said where its probability is at least ``thresholds[its name]``. None: the class
    with the largest probability is said."""
    training_set: str
    """The names of the data sets that it learnt from."""
    metrics: dict[str, Any]
    """On held-out images, 0..1, as the training measured them; empty where it did not."""
    name: str
    """The file it came from."""
    sha256: str
    """Of that file."""


@dataclass(frozen=True, kw_only=True)
class SegmenterInfo:
    """What a file says of its segmentation head: output ``mask``, (B, S, S), the probability of each pixel."""

    label: str
    """What the mask marks, for example ``lesion``."""
    threshold: float
    """A pixel belongs to it where its probability is at least this; within 0..1, chosen on validation images."""
    head: str
    """``paper`` or ``lite``."""
    training_set: str
    """As in `ClassifierInfo`."""
    metrics: dict[str, Any]
    """As in `ClassifierInfo`."""
    name: str
    """As in `ClassifierInfo`."""
    sha256: str
    """As in `ClassifierInfo`."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The document of one exported file."""

    schema: int = SCHEMA_VERSION
    variant: str
    paper_name: str
    task: str
    """One of `TASKS`."""
    precision: str
    """Of the stored weights: one of `radiodino.runtime.compute.PRECISIONS`."""
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
    notice: str | None = None
    """What must be said of the weights wherever the outputs go (`radiodino.runtime.notice`), None where nothing must;
    it is part of every result."""
    classifier: ClassifierInfo | None = None
    """None where the file does not classify."""
    segmenter: SegmenterInfo | None = None
    """None where the file does not segment."""
    quantisation: QuantisationInfo | None = None
    """None where nothing is int8."""
    bf16_residual: bool = False
    """Whether the sum that runs through the blocks may be rounded to bf16 where the file is computed in bf16: faster by
    a tenth, and so verified. Where it is false that sum stays fp32."""
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
    engine: EngineInfo | None = None
    """Of a TensorRT engine; None where the file is an ONNX model."""
    assumed: bool = False
    """True where the file carried no document and the user named the variant."""


def parse_model_info(text: str, path: object) -> ModelInfo:
    """The document `text` read from the file `path`, as one of the present schema.

    A document of an older schema is given what it lacks; one without a notice, that which its weights carry today.

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
    if not _OLDEST_SCHEMA <= schema <= SCHEMA_VERSION:
        raise ModelFileError(
            f"{path} has metadata of schema {schema} and this radiodino reads {_OLDEST_SCHEMA} to {SCHEMA_VERSION}: "
            + ("upgrade radiodino" if schema > SCHEMA_VERSION else "export the file again")
        )
    for later in range(schema + 1, SCHEMA_VERSION + 1):
        document = {**_ADDED[later], **document, "schema": SCHEMA_VERSION}
    try:
        info = from_document(ModelInfo, document)
    except DocumentError as error:
        raise ModelFileError(f"the metadata of {path} is not of schema {schema} ({error}): export it again") from None
    return replace(info, notice=info.notice or notice_of(info.weights.kind))


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
