"""The command that installs an extra of this package from where the package itself came."""

from __future__ import annotations

import json


def install_command(extra: str) -> str:
    """A ``pip install`` command that brings `extra`.

    A copy that was installed from a folder or a wheel names that place: an index may hold no package of this name, or
    somebody else's.
    """
    from importlib import metadata  # of what it imports itself, a cold start needs nothing

    try:
        origin = json.loads(metadata.distribution("radiodino").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        origin = {}
    address = origin.get("url")
    return f"pip install 'radiodino[{extra}] @ {address}'" if address else f"pip install 'radiodino[{extra}]'"
