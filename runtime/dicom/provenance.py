"""What a DICOM object made from a model's outputs says of the model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

from ..errors import InputError
from ..model_info import ClassifierInfo, LoadedInfo, SegmenterInfo
from ..notice import marked

MANUFACTURER = "RadioDINO"
CODING_SCHEME = "99RADIODINO"
"""Designator of the codes that are this package's own; DICOM reserves 99 at the start for such (PS3.3 8.2)."""

_MAX_LENGTH = {"LO": 64, "ST": 1024, "LT": 10240}
"""Characters (PS3.5 6.2)."""


def software_version() -> str:
    """Of this package."""
    return metadata.version("radiodino")


def algorithm_name(info: LoadedInfo) -> str:
    """Package and variant, for example ``radiodino tiny``."""
    return fitting(f"radiodino {info.variant}", "LO", "the variant's name")


def parameters(info: LoadedInfo, head: ClassifierInfo | SegmenterInfo) -> dict[str, str]:
    """What determines the outputs, by name."""
    return {
        "file_sha256": info.file_sha256,
        "weights": info.weights.name,
        "weights_sha256": info.weights.sha256,
        "head": head.name,
        "head_sha256": head.sha256,
        "precision": info.precision,
        "computed_in": info.compute,
        "backend": f"{info.backend} {info.backend_version}",
    }


def statement(info: LoadedInfo, head: ClassifierInfo | SegmenterInfo) -> str:
    """What a reader must know: the mark, the notice where there is one, the model, and what it learnt from."""
    said: Mapping[str, str | None] = {
        "Notice": info.notice,
        "Model": f"{algorithm_name(info)} ({info.paper_name}), radiodino {software_version()}",
        "Training set": head.training_set,
        **{name.replace("_", " ").capitalize(): value for name, value in parameters(info, head).items()},
    }
    lines = [f"{marked()}.", *(f"{name}: {value}" for name, value in said.items() if value)]
    return fitting("\r\n".join(lines), "LT", "what the file says of its model")


def fitting(text: str, vr: str, what: str) -> str:
    r"""`text` as it is, where DICOM's value representation `vr` holds it.

    Args:
        text: the value.
        vr: ``LO`` (64 characters, none of them ``\`` or a control character), ``ST`` (1024) or ``LT`` (10240).
        what: names it in the error.

    Raises:
        InputError: where it does not.
    """
    forbidden = vr == "LO" and ("\\" in text or any(ord(character) < 32 for character in text))
    if not text or len(text) > _MAX_LENGTH[vr] or forbidden:
        without = ", without backslashes and control characters," if vr == "LO" else ""
        raise InputError(
            f"DICOM holds 1 to {_MAX_LENGTH[vr]} characters{without} where {what} shall stand, but it has {len(text)}: "
            "use another output format, or export the model with a shorter text"
        )
    return text
