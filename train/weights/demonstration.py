"""The demonstration weights of this package: where they lie, what their record says, and whether they are whole.

They are package data of `radiodino.export`, in its folder ``demo``: a record, ``demo.json``, and the files it names.
The folder is found by its name, so that nothing of `radiodino.export` is imported here. Which variant has
demonstration weights is what the record says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.typed_document import DocumentError, from_document
from radiodino.runtime.variants import Variant

from .sha256 import file_sha256

RECORD = "demo.json"
SCHEMA = 1
_CURE = "install radiodino again"


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """One set of images that the weights were trained on."""

    name: str
    source: str
    """Who published it."""
    licence: str
    images: int
    """Images trained on."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One figure of the demonstration weights on images that no training saw, beside what costs no training."""

    what: str
    """Metric, its unit and the images: ``1-NN accuracy (%), brain MRI, 326 images``."""
    demo: float
    random: float | None
    """The same network with random weights."""
    pixels: float | None
    """Raw 32×32 pixels in place of an embedding."""
    at_least: float | None
    """What was asked of the demonstration weights, None where nothing was."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What the one who packs the weights says of them."""

    licence: str
    """Of the weights."""
    data: tuple[TrainingData, ...]
    machine: str
    """What they were trained on."""
    commands: tuple[str, ...]
    """What makes them again, in order."""
    measured: tuple[Measured, ...]
    remarks: tuple[str, ...]
    """Further sentences for the model card."""


@dataclass(frozen=True, kw_only=True)
class BundledFile:
    """One file beside the record."""

    holds: str
    """``backbone`` or ``head``."""
    sha256: str
    """Of its bytes."""
    size: int
    """In bytes."""


@dataclass(frozen=True, kw_only=True)
class Demonstration(About):
    """The record, ``demo.json``."""

    schema: int = SCHEMA
    variant: str
    """The one whose architecture they have."""
    backbone: str
    """Which of `files` holds it."""
    files: dict[str, BundledFile]
    seed: int
    steps: int
    samples: int
    """Images shown, repetitions included."""
    recipe: dict[str, Any]
    """Of `radiodino-train pretrain`, every number."""
    versions: dict[str, str]
    loss: tuple[tuple[int, float], ...]
    """Samples shown, and the mean loss since the entry before."""


def demonstration_folder() -> Path:
    """Where the demonstration weights of this installation lie, or would lie."""
    found = find_spec("radiodino.export")
    places = found.submodule_search_locations if found else None
    if not places:
        raise WeightsError(f"radiodino.export is not installed, which holds the demonstration weights: {_CURE}")
    return Path(next(iter(places))) / "demo"


def demonstration() -> Demonstration | None:
    """The record of this installation's demonstration weights, None where it has none.

    Raises:
        WeightsError: where the record is damaged or of another version.
    """
    record = demonstration_folder() / RECORD
    if not record.is_file():
        return None
    try:
        found = from_document(Demonstration, json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, DocumentError) as error:
        raise WeightsError(f"the record {record} cannot be read ({error}): {_CURE}") from error
    if found.schema != SCHEMA:
        raise WeightsError(f"the record {record} is of schema {found.schema}, expected {SCHEMA}: {_CURE}")
    return found


def demonstrates(variant: Variant) -> bool:
    """Whether this installation has demonstration weights of `variant`.

    Raises:
        WeightsError: as `demonstration`.
    """
    found = demonstration()
    return found is not None and found.variant == variant.name


def bundled_file(name: str) -> Path:
    """A file of the demonstration weights, a head for example, found to be what was packed.

    Raises:
        WeightsError: where this installation has no such file, or its bytes are others.
    """
    found = demonstration()
    folder = demonstration_folder()
    names = sorted(found.files) if found else []
    if found is None or name not in found.files or Path(name).name != name:
        has = f"it has {', '.join(names)}" if names else f"there is no {RECORD} in {folder}"
        raise WeightsError(f"this installation has no demonstration weights '{name}' ({has}): {_CURE}")
    path, wanted = folder / name, found.files[name]
    if not path.is_file():
        raise WeightsError(f"{path} is missing, though {RECORD} beside it records it: {_CURE}")
    digest = file_sha256(path)
    if digest != wanted.sha256:
        raise WeightsError(f"{path} has changed since it was packed (SHA-256 {digest}, not {wanted.sha256}): {_CURE}")
    return path


def demonstration_backbone(variant: Variant) -> tuple[Path, Demonstration]:
    """The file of the demonstration backbone of `variant`, found to be what was packed, and the record.

    Raises:
        WeightsError: where `variant` has no demonstration weights, or they are damaged.
    """
    found = demonstration()
    if found is None:
        raise WeightsError(
            f"this installation has no demonstration weights (no {RECORD} in {demonstration_folder()}): "
            f"{_other_weights(variant)}"
        )
    if found.variant != variant.name:
        raise WeightsError(
            f"there are demonstration weights of '{found.variant}' alone, not of '{variant.name}': choose --variant "
            f"{found.variant}, or {_other_weights(variant)}"
        )
    return bundled_file(found.backbone), found


def _other_weights(variant: Variant) -> str:
    published = (
        f"take --weights published (where there is no internet, run  radiodino-export fetch --variant {variant.name}  "
        "on a machine that has it and copy its RADIODINO_HOME folder here), or "
    )
    return f"{published if variant.published else ''}give a file with --weights FILE, or try out with --weights random"
