"""How DICOM is known, without what reads it."""

from __future__ import annotations

import sys


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` (132 bytes or more) is in the DICOM file format."""
    return head[128:132] == b"DICM"


def is_dataset(source: object) -> bool:
    """Whether `source` is a pydicom Dataset, without importing pydicom where nobody else has."""
    # another thread may be importing it at this moment, so that the module is there and the class is not
    dataset_class = getattr(sys.modules.get("pydicom.dataset"), "Dataset", None)
    return dataset_class is not None and isinstance(source, dataset_class)
