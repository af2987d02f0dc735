"""What is not listed as an image, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass

# fmt: off
SIDE_SUFFIXES = frozenset({
    ".bat", ".bib", ".cfg", ".conf", ".css", ".csv", ".db", ".doc", ".docx", ".engine", ".h5", ".hdf5", ".htm", ".html",
    ".ini", ".ipynb", ".json", ".jsonl", ".lock", ".log", ".md", ".md5", ".onnx", ".parquet", ".pdf", ".pickle", ".pkl",
    ".ppt", ".pptx", ".ps1", ".pt", ".pth", ".py", ".rst", ".rtf", ".safetensors", ".sh", ".sha256", ".sqlite", ".tex",
    ".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
})
"""Suffixes of files that lie beside images and are none."""
# fmt: on
SIDE_NAMES = frozenset({"dicomdir", "license", "licence", "readme", "makefile"})
"""Names, in lower case, of files that lie beside images and are none."""
ARCHIVE_SUFFIXES = frozenset({".zip", ".npz", ".7z", ".rar", ".tar", ".tgz"})
HIDDEN, ARCHIVE, UNFINISHED, SPECIAL = "hidden", "archive", "unfinished run", "neither file nor folder"
TWICE = "reached twice"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not listed."""

    name: str
    why: str
    """`TWICE`, or the kind of thing that it is: `HIDDEN`, `ARCHIVE`, `UNFINISHED`, `SPECIAL`, a suffix or a name."""


def why_file_left_out(name: str) -> str | None:
    """The kind of file that `name` is if that is no image, else None."""
    lower = name.lower()
    if name.startswith("."):
        return HIDDEN
    if lower in SIDE_NAMES:
        return name
    suffix = os.path.splitext(lower)[1]
    if suffix in ARCHIVE_SUFFIXES or lower.endswith(".tar.gz"):
        return ARCHIVE
    return suffix if suffix in SIDE_SUFFIXES else None


def why_folder_left_out(name: str) -> str | None:
    """The kind of folder that `name` is if no images are looked for in it, else None."""
    if name.startswith(".") or name == "__MACOSX":
        return HIDDEN
    return UNFINISHED if name.endswith(".partial") else None
