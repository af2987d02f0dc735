"""Where this package keeps what it fetched or compiled: `RADIODINO_HOME`, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder named by the environment variable ``RADIODINO_HOME``, else ``radiodino`` in the user's cache folder.

    The folder may not exist yet; whoever writes into it creates it.
    """
    named = os.environ.get("RADIODINO_HOME")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("radiodino", appauthor=False))
