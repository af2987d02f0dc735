"""Optional dependencies: a missing one is named with the extra that brings it, before it is needed."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import MissingExtraError


def require(extra: str, *modules: str) -> None:
    """See that `modules` are installed, without importing them.

    Args:
        extra: the extra of this package that brings them.
        modules: names of top-level modules.

    Raises:
        MissingExtraError: where one is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(module, extra)
