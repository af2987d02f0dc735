"""How many images one inference of an engine takes, as the commands are told."""

from __future__ import annotations

from radiodino.runtime.engine_file import BatchProfile
from radiodino.runtime.errors import InputError

DEFAULT = "1,1,16"


def parse_batches(text: str) -> BatchProfile:
    """``MIN,OPT,MAX``, or one number for all three.

    Raises:
        InputError: where it is neither, or out of order.
    """
    parts = text.split(",")
    if len(parts) == 1:
        parts *= 3
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"--batch takes MIN,OPT,MAX, three numbers of images such as {DEFAULT}, or one, not '{text}'")
    least, usual, most = map(int, parts)
    if not 1 <= least <= usual <= most:
        raise InputError(f"--batch takes MIN,OPT,MAX with 1 ≤ MIN ≤ OPT ≤ MAX, not '{text}'")
    return BatchProfile(least=least, usual=usual, most=most)
