"""The local copy of published weights in `RADIODINO_HOME`, with a record of what was fetched to check it against."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import WeightsError
from radiodino.runtime.home import home
from radiodino.runtime.variants import Variant

from ..weights.sha256 import file_sha256

_RECORD = "weights.json"


@dataclass(frozen=True)
class PublishedCopy:
    """A local copy of published weights; the `weights.json` beside it records all but its folder, which may move."""

    folder: Path
    """The folder it lies in."""
    file: str
    """The name of the file in it."""
    source: str
    """Where it was fetched: `Variant.published`."""
    revision: str | None
    """The commit at a hub; None where the source has none."""
    licence: str | None
    """The licence stated at the source."""
    sha256: str
    """Of the file's bytes."""
    size: int
    """In bytes."""
    date: str
    """When it was fetched, UTC, ISO 8601."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.folder / self.file


def weights_folder(variant: Variant) -> Path:
    """Where the local copy of the published weights of `variant` lies, or would lie."""
    return home() / "weights" / variant.name


def local_copy(variant: Variant) -> PublishedCopy | None:
    """The local copy of the published weights of `variant`, found to be what was fetched; None where there is none.

    Raises:
        WeightsError: where the record or the file is damaged, or they do not agree with each other or the variant.
    """
    folder = weights_folder(variant)
    record = folder / _RECORD
    if not record.exists():
        return None
    cure = f"delete the folder {folder} and fetch the weights again"
    try:
        copy = PublishedCopy(folder=folder, **json.loads(record.read_text(encoding="utf-8")))
        sound = Path(copy.file).name == copy.file != ""
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"the record {record} cannot be read ({error}): {cure}") from error
    if not sound:
        raise WeightsError(f"the record {record} names no file beside it but '{copy.file}': {cure}")
    if copy.source != variant.published:
        raise WeightsError(
            f"the local weights of '{variant.name}' are from {copy.source}, expected {variant.published}: {cure}"
        )
    if not copy.path.is_file():
        raise WeightsError(f"{copy.path} is missing, though {_RECORD} beside it records it: {cure}")
    found = file_sha256(copy.path)
    if found != copy.sha256:
        raise WeightsError(
            f"{copy.path} has changed since it was fetched (SHA-256 {found}, expected {copy.sha256}): {cure}"
        )
    return copy


def write_record(copy: PublishedCopy) -> None:
    """Record `copy` beside its file, which makes it the local copy.

    Raises:
        OutputError: where the record cannot be written.
    """
    recorded = asdict(copy)
    del recorded["folder"]
    with atomic_path(copy.folder / _RECORD, overwrite=True) as record:
        record.write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
