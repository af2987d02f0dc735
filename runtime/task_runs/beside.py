"""DICOM objects made beside a run: one that cannot be made is a notice, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from ..dicom.known import is_dicom
from ..embed.entry import Entry
from ..errors import DicomSourceError, UnreadableImageError
from ..inputs.item import Item
from ..source import ByteSource, opened


def is_dicom_file(item: Item) -> bool:
    """Whether an input is a file in the DICOM file format."""
    try:
        source = item.load()
        if not isinstance(source, str | Path) and not hasattr(source, "read"):
            return False
        with opened(cast(ByteSource, source)) as stream:
            return is_dicom(stream.read(132))
    except UnreadableImageError:
        return False


def derive(item: Item, product: str, write: Callable[[ByteSource], None]) -> str | None:
    """Make a DICOM object of an input.

    Args:
        item: the input.
        product: ``DICOM segmentation`` or ``DICOM report``.
        write: writes it, given the input.

    Returns:
        Why there is none, as a notice; None where it was written.
    """
    if not is_dicom_file(item):
        return f"no {product}: it is no DICOM file"
    try:
        write(cast(ByteSource, item.load()))
    except DicomSourceError as error:  # it begins so by itself
        return str(error)
    except UnreadableImageError as error:
        return f"no {product}: {error.reason}"
    return None


def was_derived(entry: Entry, product: str, path: Path) -> bool:
    """Whether what an earlier run made of an input is still there, or could not be made then."""
    return path.is_file() or any(f"no {product}" in notice for _, notice in entry.notices)
