"""Which distributions are installed, without `importlib.metadata`, whose import costs 20 ms and 3 MiB."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress

_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")


def installed_versions(*names: str) -> dict[str, str]:
    """The versions of those of the distributions `names` that are installed.

    Args:
        names: normalised, as ``onnxruntime-gpu``.

    Returns:
        The version by the name, in the order of `names`. Where a folder of `sys.path` has several copies of one, or
        none of `names` lies in such a folder, `importlib.metadata` is asked.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        with suppress(OSError):  # no folder, as an archive is none
            here = [_INFO.fullmatch(entry) for entry in os.listdir(folder or ".") if entry.endswith(".dist-info")]
            known = [(re.sub("[-_.]+", "-", info["name"]).lower(), info["version"]) for info in here if info]
            wanted = [(name, version) for name, version in known if name in names]
            if len(dict(wanted)) < len(wanted):  # as an interrupted upgrade leaves behind
                return _thoroughly(names)
            found = {**dict(wanted), **found}  # the first folder counts
    return {name: found[name] for name in names if name in found} or _thoroughly(names)


def _thoroughly(names: tuple[str, ...]) -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
